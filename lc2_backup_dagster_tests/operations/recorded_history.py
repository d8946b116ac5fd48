"""A server whose every commit is written down beside it, with its WAL archived: the truth that restores are held to."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.database import capture_database
from lc2_backup_dagster.repository.wal.header import Sample
from lc2_backup_dagster.repository.wal.names import is_segment_name, segment_name
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.tiny_site import (
    BACKUP_PASSWORD,
    BACKUP_ROLE,
    TinySite,
    a_directory_site,
    open_window,
    prepare_roles,
    until,
)

SEGMENT_BYTES = 16 * 1024 * 1024
DATABASE = "app"


@dataclass(frozen=True)
class Event:
    """One commit: its row's number, and time, position and transaction as the server told them right after it."""

    number: int
    time: datetime
    lsn: int
    xid: int


class RecordedHistory:
    """Commits rows one by one; ``row n`` is visible exactly in restores of moments at or after its commit."""

    def __init__(self, server: PostgresServer, root: Path, **fields: object):
        self.server = server
        self.events: list[Event] = []
        if server.major < 14:
            server.create_role(BACKUP_ROLE, password=BACKUP_PASSWORD, options="LOGIN REPLICATION")
        else:
            prepare_roles(server)
        server.create_database(DATABASE)
        server.execute("CREATE TABLE log (n int)", database=DATABASE)
        library = root / "library"
        library.mkdir(parents=True)
        self.site: TinySite = a_directory_site(root, server, database=DATABASE, library=library, **fields)

    def commit(self, *, restore_point: str | None = None) -> Event:
        """Commit the next row, and note when and where; the restore point comes after it."""
        number = len(self.events) + 1
        with self.server.server(DATABASE).connect() as connection:
            row = connection.execute("INSERT INTO log VALUES (%s) RETURNING txid_current()", [number]).fetchone()
            told = connection.execute(
                "SELECT clock_timestamp(), (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint"
            ).fetchone()
            if restore_point:
                connection.execute("SELECT pg_create_restore_point(%s)", [restore_point])
        event = Event(number, told[0].astimezone(UTC), told[1], row[0])
        self.events.append(event)
        return event

    def back_up(self):
        """Take a base backup: full, or an increment where the policy says so."""
        return capture_database(
            self.site.context,
            window=open_window(WindowLength.HOURLY),
            asked_at=datetime.now(UTC),
            initiator=TESTER,
        )

    def switch(self) -> None:
        """End the current segment."""
        self.server.execute("SELECT pg_switch_wal()")

    def archive(self) -> Sample:
        """Archive all WAL up to now, as a receiver does, and say until when it reaches."""
        with self.server.server().connect() as connection:
            row = connection.execute(
                "SELECT clock_timestamp(), (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint,"
                " (SELECT system_identifier::text FROM pg_control_system()),"
                " pg_walfile_name(pg_current_wal_insert_lsn())"
            ).fetchone()
            connection.execute("SELECT pg_logical_emit_message(true, 'lc2', 'flushed up to here')")
        time, lsn, system, current = row[0].astimezone(UTC), row[1], row[2], row[3]
        timeline = int(current[:8], 16)
        archive = self.site.repository.wal(system)
        for path in sorted((self.server.data_directory / "pg_wal").iterdir()):
            if path.name.endswith(".history"):
                archive.put_history(int(path.name[:8], 16), path.read_bytes())
            elif is_segment_name(path.name) and path.name[:8] == current[:8] and path.name < current:
                archive.put_segment(path.name, path.read_bytes())
        inside = lsn % SEGMENT_BYTES
        if inside:
            assert current == segment_name(timeline, lsn, SEGMENT_BYTES)
            plain = (self.server.data_directory / "pg_wal" / current).read_bytes()[:inside]
            archive.put_partial(current, end_lsn=lsn, plain=plain, samples=[Sample(lsn, time)])
        archive.put_position(Sample(lsn, time), timeline)
        return Sample(lsn, time)

    def promote(self) -> None:
        """Let the server begin a new timeline, as a promoted standby does."""
        self.server.stop()
        data = self.server.data_directory
        signal = data / "recovery.signal"
        signal.touch()
        shutil.chown(signal, data.owner(), data.group())
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write("restore_command = 'false'\n")
        self.server.start()
        until(self._writable, what="the server has ended its recovery")

    def _writable(self) -> bool:
        with self.server.server().connect() as connection:
            return connection.execute("SELECT NOT pg_is_in_recovery()").fetchone()[0]

    def rows_at(self, *, number: int) -> list[int]:
        return list(range(1, number + 1))
