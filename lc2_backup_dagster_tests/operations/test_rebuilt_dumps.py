"""The dump of a day that is over: restored to that moment on a private server, and dumped there (L-32)."""

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from lc2_backup_dagster.engines.postgres.dump import DUMP_STREAM, REFERENCES_STREAM
from lc2_backup_dagster.engines.postgres.tools import find_tools
from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.errors import WindowNotRestorable
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.operations.capture_dump import capture_database_dump
from lc2_backup_dagster.operations.captured import Captured
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.fixtures_chains import ChainSite, archived_until, receiving
from lc2_backup_dagster_tests.operations.tiny_site import content_of


def mark(site: ChainSite, text: str) -> None:
    site.postgres.execute(f"INSERT INTO marks VALUES ('{text}')", database=site.site.database.database)


def rebuild(site: ChainSite, day: Window) -> Captured:
    asked_at = day.end + timedelta(minutes=1)
    return capture_database_dump(site.site.context, window=day, asked_at=asked_at, initiator=TESTER)


def marks_in(site: ChainSite, captured: Captured, folder: Path) -> list[str]:
    """Read the marks out of a dump, with plain ``pg_restore``."""
    file = folder / "dump.custom"
    with site.site.repository.open_stream(captured.manifest, DUMP_STREAM) as stream:
        file.write_bytes(stream.read())
    pg_restore = find_tools(None, at_least_major=17).pg_restore
    told = subprocess.run(
        [pg_restore, "--data-only", "--table=marks", "--file=-", str(file)], capture_output=True, text=True, check=True
    )
    return [line for line in told.stdout.splitlines() if line.startswith("mark ")]


def test_a_past_day_is_dumped_as_of_its_latest_archived_moment_and_nothing_later_enters(wal_liferay, tmp_path):
    with receiving(wal_liferay):
        base = wal_liferay.capture()
        mark(wal_liferay, "mark in the archive")
        until = archived_until(wal_liferay)
    mark(wal_liferay, "mark that came later")
    day = Window.around(until, length=WindowLength.DAILY)
    captured = rebuild(wal_liferay, day)
    assert (captured.backup.component, captured.backup.kind) == (Component.DATABASE_DUMP, BackupKind.DUMP)
    assert captured.backup.window == day.key
    assert until <= captured.moment < day.end
    assert marks_in(wal_liferay, captured, tmp_path) == ["mark in the archive"]
    assert REFERENCES_STREAM in captured.manifest.streams, "the rows that name files were read there too"
    assert captured.manifest.details["rebuilt_from"] == base.backup.backup_id
    assert captured.manifest.details["restore_point"] is None
    assert captured.manifest.bases == [base.backup.backup_id]
    assert "on a private server" in captured.manifest.strategy.reason
    assert content_of(wal_liferay.site.scratch) == {}


def test_without_wal_a_past_day_is_dumped_as_of_the_base_backup_it_holds(wal_liferay: ChainSite, tmp_path: Path):
    mark(wal_liferay, "mark in the base")
    base = wal_liferay.capture()
    mark(wal_liferay, "mark that came later")
    captured = rebuild(wal_liferay, Window.around(base.moment, length=WindowLength.DAILY))
    assert captured.moment == base.moment
    assert captured.manifest.moment.lsn == base.manifest.moment.lsn
    assert marks_in(wal_liferay, captured, tmp_path) == ["mark in the base"]


def test_a_day_that_nothing_reaches_is_refused_and_the_nearest_moment_is_named(wal_liferay: ChainSite):
    base = wal_liferay.capture()
    sequence = wal_liferay.site.repository.log.history().sequence
    yesterday = Window.around(base.moment - timedelta(days=1), length=WindowLength.DAILY)
    with pytest.raises(WindowNotRestorable) as refusal:
        rebuild(wal_liferay, yesterday)
    assert refusal.value.hint == f"the nearest after is {base.manifest.moment.restorable_from}"
    assert from_text(base.manifest.moment.restorable_from) == base.moment
    assert wal_liferay.site.repository.log.history().sequence == sequence
