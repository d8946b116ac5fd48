"""A pytest plugin for ``.ci/run``: a test that is skipped there has failed, because everything it needs is installed.

Load it with ``-p lc2_backup_dagster_tests.plugin_no_skips``. It changes reports where they are made, so it works the
same in the workers of xdist.
"""

from collections.abc import Generator
from typing import Any

import pytest

_MESSAGE = "a skip is a failure in this run (plugin_no_skips)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one; an expected failure (xfail) is no skip."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{_MESSAGE}: {_reason(report.longrepr)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a skipped module into an error of the collection."""
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{_MESSAGE}: {_reason(report.longrepr)}"
    return report


def _reason(representation: Any) -> str:
    # Of a skip it is (file, line, reason).
    return ":".join(str(part) for part in representation) if isinstance(representation, tuple) else str(representation)
