import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("lc2_backup_dagster_tests.operations.fixtures")


@pytest.fixture
def copy(backed_up, tmp_path):
    """The backed-up site on a copy of its repository, to be changed."""
    return backed_up.site.copied(tmp_path)
