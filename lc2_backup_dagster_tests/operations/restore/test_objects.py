"""Single databases, tables and files out of physical backups."""

import pytest

from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.errors import ConfigurationError, RecoveryPointNotFound, TargetNotEmpty
from lc2_backup_dagster.model.recovery_target import RecoveryTarget
from lc2_backup_dagster.operations.restore.file import restore_file
from lc2_backup_dagster.operations.restore.objects import restore_objects
from lc2_backup_dagster.operations.restore.server import restore_server
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.fixtures_postgres import start_server
from lc2_backup_dagster_tests.operations.recorded_history import DATABASE, RecordedHistory


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Two tables in two schemas; a full backup, changes, an increment, more changes, all archived."""
    server = start_server(tmp_path_factory.mktemp("objects"))
    try:
        recorded = RecordedHistory(server, tmp_path_factory.mktemp("site"))
        server.execute(
            "CREATE SCHEMA shop",
            "CREATE TABLE shop.\"Order lines\" AS SELECT i, repeat('x', 200) pad FROM generate_series(1, 5000) i",
            "CREATE TABLE other AS SELECT 1 AS n",
            "CHECKPOINT",
            database=DATABASE,
        )
        recorded.first = recorded.back_up().backup
        server.execute("UPDATE shop.\"Order lines\" SET pad = 'changed' WHERE i = 2500", database=DATABASE)
        recorded.commit()
        recorded.second = recorded.back_up().backup
        recorded.commit()
        [(recorded.path,)] = asked(recorded, DATABASE, "SELECT pg_relation_filepath('shop.\"Order lines\"')")
        server.execute('DROP TABLE shop."Order lines"', database=DATABASE)
        recorded.archive()
        yield recorded
    finally:
        server.remove()


def asked(history, database, query):
    with history.server.server(database).connect() as connection:
        return connection.execute(query).fetchall()


def test_a_dropped_table_comes_back_from_before_its_drop(history):
    context = history.site.context
    restored = restore_objects(
        context,
        None,
        source_database=DATABASE,
        target_database="back",
        tables=["shop.Order lines"],
        target=RecoveryTarget.parse("time", to_text(history.events[-1].time)),
        initiator=TESTER,
    )
    assert (restored.tables, restored.database.tables) == (("shop.Order lines",), 1)
    rows = asked(history, "back", "SELECT count(*), min(i) FILTER (WHERE pad = 'changed') FROM shop.\"Order lines\"")
    assert rows == [(5000, 2500)]
    assert not list(history.site.scratch.rglob("*"))[3:], "scratch was not cleaned"
    record = list(history.site.repository.log.records())[-1]
    assert (record.type, record.body["result"]) == (RecordType.RESTORE, "restored")


def test_a_whole_database_comes_back_as_of_the_backup(history):
    restore_objects(
        history.site.context,
        history.first.backup_id,
        source_database=DATABASE,
        target_database="whole",
        initiator=TESTER,
    )
    assert asked(history, "whole", "SELECT (SELECT count(*) FROM log), (SELECT count(*) FROM other)") == [(0, 1)]


def test_unknown_names_are_refused(history):
    wish = {"target_database": "never", "initiator": TESTER}
    with pytest.raises(ConfigurationError, match="has no database 'nobody'"):
        restore_objects(history.site.context, history.first.backup_id, source_database="nobody", **wish)
    with pytest.raises(ConfigurationError, match="no table 'public.nobody'"):
        restore_objects(
            history.site.context, history.first.backup_id, source_database=DATABASE, tables=["nobody"], **wish
        )
    with pytest.raises(TargetNotEmpty, match="exists"):
        restore_objects(
            history.site.context, None, source_database=DATABASE, target_database=DATABASE, initiator=TESTER
        )
    assert asked(history, "postgres", "SELECT count(*) FROM pg_database WHERE datname = 'never'") == [(0,)]


def test_a_file_is_read_through_the_increments_of_its_chain(history, tmp_path):
    """A page that the increment changed, in a file that is whole in the full backup only."""
    context, chain = history.site.context, (history.first.backup_id, history.second.backup_id)
    restore_server(context, chain[1], target_directory=tmp_path / "data", start=False, initiator=TESTER)
    for path, backups in ((history.path, chain), ("global/pg_control", chain[1:])):
        output = tmp_path / path.replace("/", "-")
        restored = restore_file(context, chain[1], path, output=output, initiator=TESTER)
        assert restored.backups == backups
        assert output.read_bytes() == (tmp_path / "data" / path).read_bytes()
    old = restore_file(context, chain[0], history.path, output=tmp_path / "old", initiator=TESTER)
    assert old.backups == chain[:1]
    assert (tmp_path / "old").read_bytes() != (tmp_path / "data" / history.path).read_bytes()


def test_a_file_that_exists_or_is_unknown_is_refused(history, tmp_path):
    (tmp_path / "there").write_text("mine")
    context, backup_id = history.site.context, history.second.backup_id
    with pytest.raises(TargetNotEmpty):
        restore_file(context, backup_id, "PG_VERSION", output=tmp_path / "there", initiator=TESTER)
    with pytest.raises(RecoveryPointNotFound, match="has no file base/1/nobody"):
        restore_file(context, backup_id, "base/1/nobody", output=tmp_path / "new", initiator=TESTER)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
