import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("lc2_backup_dagster_tests.operations.fixtures")
    config.pluginmanager.import_plugin("lc2_backup_dagster_tests.operations.fixtures_chains")
