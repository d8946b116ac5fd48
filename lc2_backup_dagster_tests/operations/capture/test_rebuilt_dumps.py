"""The dump of a day that is over: restored to that moment on a private server, and dumped there (L-32)."""

import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.engines.postgres.dump.capture import DUMP_STREAM, REFERENCES_STREAM
from lc2_backup_dagster.engines.postgres.servers.tools import find_tools
from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.errors import WindowNotRestorable
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.operations.capture.bind_recovery_point import bind_recovery_point, restorable_points
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster.operations.capture.files import capture_site_files
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.engines.files.library import fill
from lc2_backup_dagster_tests.engines.files.versioned import Versioned
from lc2_backup_dagster_tests.fakes import SetClock
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


def test_a_rebuilt_day_is_bound_with_the_files_of_its_end(wal_liferay: ChainSite):
    """Rows and files of a day that has passed: the rows out of WAL, the files out of the versions of their source."""
    with receiving(wal_liferay):
        wal_liferay.capture()
        mark(wal_liferay, "mark in the archive")
        until = archived_until(wal_liferay)
    day = Window.around(until, length=WindowLength.DAILY)
    source = Versioned(SetClock(day.start))
    library = DirectoryStore(wal_liferay.site.library)
    fill(source, {found.key: library.get(found.key) for found in library.list()})
    context = wal_liferay.site.context
    context = replace(context, library=replace(context.files, store=source, protection_of=lambda key: "client"))
    asked = {"window": day, "initiator": TESTER}
    seen = capture_site_files(context, asked_at=until, **asked)

    dump = rebuild(wal_liferay, day)
    source.clock.time = day.end + timedelta(hours=2)
    first = next(found.key for found in source.list("20097/") if "/0/" not in found.key)
    source.delete([first])
    files = capture_site_files(context, asked_at=source.clock.now(), **asked)
    point = bind_recovery_point(context, **asked)

    assert files.manifest.details["as_of"]["before"] == seen.backup.backup_id
    assert point.backup.summary["member_ids"] == [dump.backup.backup_id, files.backup.backup_id]
    match = point.manifest.details["row_match"]
    assert match["rows"] > 0
    assert match["dangling_count"] == 0, "what was deleted today is of that day"
    assert point.manifest.moment.restorable_until == dump.manifest.moment.restorable_until
    assert restorable_points(wal_liferay.site.repository)[-1].backup_id == point.backup.backup_id
