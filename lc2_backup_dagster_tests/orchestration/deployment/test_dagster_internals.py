"""Fails when an upgrade of Dagster moves or changes a name that is not public but used here."""

import inspect

import dagster as dg
import pytest
from graphql import parse, validate

from lc2_backup_dagster.demo.servers import dagster_client
from lc2_backup_dagster.orchestration.deployment import dagster_internals
from lc2_backup_dagster.orchestration.deployment.run_launcher import GRPC_INFO_TAG, MonitoredRunLauncher


@pytest.mark.parametrize("name", dagster_internals.__all__)
def test_every_internal_name_is_still_there(name: str) -> None:
    assert hasattr(dagster_internals, name)


def test_the_launcher_overrides_methods_that_dagster_still_calls_that_way() -> None:
    for name in ("launch_run", "terminate", "check_run_worker_health"):
        theirs = inspect.signature(getattr(dg.DefaultRunLauncher, name))
        assert list(inspect.signature(getattr(MonitoredRunLauncher, name)).parameters) == list(theirs.parameters)
    assert isinstance(dg.DefaultRunLauncher.supports_check_run_worker_health, property)


def test_dagster_still_notes_the_code_server_of_a_run_in_this_tag() -> None:
    from dagster._core.storage import tags

    assert tags.GRPC_INFO_TAG == GRPC_INFO_TAG


def test_an_unreachable_code_server_is_told_by_its_own_error() -> None:
    with pytest.raises(dagster_internals.DagsterUserCodeUnreachableError):
        dagster_internals.code_server_runs("x", host="localhost", port=1, socket=None, use_ssl=False)


def test_every_document_of_the_client_fits_the_schema_of_the_web_server() -> None:
    from dagster_graphql.schema import create_schema

    schema = create_schema().graphql_schema
    texts = {name: text for name, text in vars(dagster_client).items() if name.isupper() and isinstance(text, str)}
    documents = [name for name, text in texts.items() if text.startswith(("{", "query", "mutation"))]
    assert len(documents) == 10
    for name in documents:
        assert validate(schema, parse(texts[name])) == [], name
