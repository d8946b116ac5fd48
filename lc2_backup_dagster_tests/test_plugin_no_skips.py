"""Under `.ci/run` a skip is a failure."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = """
import pytest


def test_passes():
    pass


def test_skips_itself():
    pytest.skip("no server here")


@pytest.mark.skipif(True, reason="never on this system")
def test_is_skipped():
    pass


@pytest.fixture
def old_server():
    pytest.skip("no old server here")


def test_needs_a_fixture_that_skips(old_server):
    pass


@pytest.mark.xfail(strict=True)
def test_is_expected_to_fail():
    assert False
"""


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(folder)]
    # Not the options and the worker's identity of the pytest that runs this.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [*command, *options, str(folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_skips_are_failures_where_the_plugin_is_loaded_also_in_workers(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    with_plugin = run_pytest(tmp_path, "-p", "lc2_backup_dagster_tests.plugin_no_skips", "-n", "1")
    assert with_plugin.returncode == 1, with_plugin.stdout
    closing = with_plugin.stdout.splitlines()[-1]
    assert "1 failed, 1 passed, 1 xfailed, 2 errors" in closing
    assert "no server here" in with_plugin.stdout
    assert "no old server here" in with_plugin.stdout


def test_a_module_that_skips_itself_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "test_module.py").write_text("import pytest\npytest.importorskip('a_package_that_nobody_has')\n")
    assert run_pytest(tmp_path, "-p", "lc2_backup_dagster_tests.plugin_no_skips").returncode == 2


def test_without_the_plugin_skips_stay_skips(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    assert run_pytest(tmp_path).returncode == 0
