from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count

import pytest

from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster_tests.journeys.bad_days.errand import Ended, Errand, Running
from lc2_backup_dagster_tests.operations.tiny_site import TinySite, open_window


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("lc2_backup_dagster_tests.operations.fixtures")


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Running]]:
    """Return ``start(site, verb, **errand)``: a process that carries out one verb; killed at the end of the test."""
    numbers = count(1)
    with ExitStack() as stack:

        def run(site: TinySite, verb: str, **errand: object) -> Running:
            open_window(WindowLength.HOURLY if verb == "database" else WindowLength.DAILY)
            result = tmp_path / f"errand-{next(numbers)}.json"
            running = Running(Errand(site.file, dict(site.environment), result, verb, **errand))
            stack.callback(running.close)
            return running

        yield run


@pytest.fixture
def run(start) -> Callable[..., Ended]:
    """Return ``run(site, verb, **errand)``: the same, waited for."""
    return lambda site, verb, **errand: start(site, verb, **errand).end()
