"""Runs the restore kit as a stranger would: another process in which nothing of ours can be imported."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

_ALONE = """
import runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"lc2_backup_dagster", "lc2_backup_dagster_tests", "tink", "pydantic", "dagster"}:
            raise ImportError(f"{name} is not there: the kit must do without")
sys.meta_path.insert(0, Absent())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_kit(
    script: Path, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run ``restore.py``; isolated (``-I``), outside the checkout."""
    return subprocess.run(
        [sys.executable, "-I", "-c", _ALONE, str(script), *map(str, arguments)],
        cwd="/",
        env={**os.environ, **(environment or {})},
        capture_output=True,
        check=False,
    )


def strangers_python(place: Path) -> dict[str, str]:
    """Copy Python with nothing but what README.txt tells to install, for an account that cannot reach ours.

    Returns:
        The environment in which ``python`` is that one.
    """
    prefix = place / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = prefix / "lib" / version
    unneeded = shutil.ignore_patterns("site-packages", "dist-packages", "test", "__pycache__", "idlelib", "config-*")
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=unneeded)
    (prefix / "bin").mkdir()
    shutil.copy(Path(sys.executable).resolve(), prefix / "bin/python")
    for shared in (Path(sys.base_prefix) / "lib").glob(f"lib{version}*.so*"):
        shutil.copy(shared, prefix / "lib")
    for package in ("zstandard", "cryptography", "cffi", "_cffi_backend"):
        found = importlib.util.find_spec(package)
        assert found is not None and found.origin is not None, package
        origin = Path(found.origin)
        if found.submodule_search_locations:
            shutil.copytree(origin.parent, library / "site-packages" / package)
        else:
            shutil.copy(origin, library / "site-packages")
    return {"PATH": f"{prefix / 'bin'}:{os.environ['PATH']}", "LD_LIBRARY_PATH": str(prefix / "lib")}
