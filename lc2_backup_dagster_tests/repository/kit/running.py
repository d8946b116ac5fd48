"""Runs the restore kit as a stranger would: another process in which nothing of ours can be imported."""

import os
import subprocess
import sys
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
