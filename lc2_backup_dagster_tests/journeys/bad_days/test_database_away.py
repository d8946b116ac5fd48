"""The database is down, refuses, is newer than the tools, or goes away in the middle."""

from datetime import UTC, datetime

import pytest

from lc2_backup_dagster.demo.servers.postgres import wheel_bin_directory
from lc2_backup_dagster.engines.postgres.servers import tools
from lc2_backup_dagster.model.errors import AccessDenied, BackupError, ServerUnavailable, ToolTooOld
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.database import capture_database
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.journeys.bad_days.errand import Place
from lc2_backup_dagster_tests.operations.tiny_site import (
    BACKUP_PASSWORD,
    BACKUP_ROLE,
    content_of,
    nothing_left_on,
    open_window,
    prepare_roles,
)

VERBS = [
    pytest.param(capture_database, WindowLength.HOURLY, id="database"),
    pytest.param(capture_database_dump, WindowLength.DAILY, id="dump"),
]


def refusal_of(site, capture, length, error: type[BackupError]) -> BackupError:
    """Carry the verb out, which must fail, and make sure that it did not even begin."""
    with pytest.raises(error) as refusal:
        capture(site.context, window=open_window(length), asked_at=datetime.now(UTC), initiator=TESTER)
    assert site.repository.log.history().sequence == 0
    assert content_of(site.scratch) == {}
    return refusal.value


@pytest.mark.parametrize(("capture", "length"), VERBS)
def test_a_server_that_is_down_is_tried_again_later_and_nothing_has_begun(make_site, capture, length):
    error = refusal_of(make_site(database__port=1), capture, length, ServerUnavailable)
    assert "127.0.0.1:1" in error.message
    assert "check that the server runs" in str(error.hint)


@pytest.mark.parametrize(("capture", "length"), VERBS)
def test_a_refused_password_is_named_and_not_shown(site, capture, length):
    site = site.with_environment(TINY_DB_PASSWORD="a-wrong-password")
    error = refusal_of(site, capture, length, AccessDenied)
    assert f"as '{BACKUP_ROLE}' was refused: wrong or missing password" in error.message
    assert "a-wrong-password" not in str(error)


def test_tools_older_than_the_server_are_refused_before_a_dump_begins(make_site, postgres_18, monkeypatch):
    """L-29. A base backup needs no tools at all."""
    prepare_roles(postgres_18)
    site = make_site(
        database__port=postgres_18.port,
        database__name="postgres",
        database__toolsDirectory=str(wheel_bin_directory(17)),
    )
    # Newer tools that happen to lie elsewhere on this machine would be found.
    monkeypatch.setattr(tools, "_places", lambda directory: iter([directory]))
    error = refusal_of(site, capture_database_dump, WindowLength.DAILY, ToolTooOld)
    assert "the server is PostgreSQL 18, the newest tools found are 17" in error.message
    assert "postgresql-client-18" in str(error.hint)


@pytest.mark.parametrize(
    ("component", "place"),
    [
        (Component.DATABASE, Place("put .*/base.tar/000002")),
        (Component.DATABASE_DUMP, Place("put .*/dump.custom/000000")),
    ],
    ids=["database", "dump"],
)
def test_a_server_that_ends_its_sessions_in_the_middle_fails_the_backup_which_succeeds_when_run_again(
    component, place, site, start, run, postgres
):
    running = start(site, component.value, wait_at=place)
    running.wait_until_waiting()
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'lc2-backup' AND pid <> pg_backend_pid()"
    )
    running.let_go()
    ended = running.end()
    assert ended.told["error"] in ("ServerUnavailable", "ToolFailed"), ended.told
    assert BACKUP_PASSWORD not in str(ended.told)
    assert site.repository.backups() == []
    assert site.repository.log.history().running == {}
    nothing_left_on(postgres)
    assert content_of(site.scratch) == {}
    assert run(site, component.value).code == 0
