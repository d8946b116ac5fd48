"""Prove what was restored of a site that never stood still.

The restored database itself says, by its journal, which change was the last before its moment. So

* **rows** are compared with the same moment reached along the other road: the base backup, and archived WAL up to that
  change's transaction, on a private server. Every row of every table, definitions, large objects;
* **files** that no change behind that moment touched are compared byte for byte with the source. Of those that one did
  touch the journal knows every content they have had since, by SHA-256: a restored file has one of these, and is
  missing only where it was missing at some time since;
* **rows that name files** are read in the restored database, and their files looked for among the restored ones.
"""

import time
from collections.abc import Mapping, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase

from lc2_backup_dagster.clouds.prefixed import PrefixedStore
from lc2_backup_dagster.demo.compare import Differences, compare_databases, compare_stores
from lc2_backup_dagster.demo.comparison.differences import Findings
from lc2_backup_dagster.demo.live import journal
from lc2_backup_dagster.demo.live.staged_store import content_of
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.errors import BackupError, TransientError
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.recovery_target import RecoveryTarget
from lc2_backup_dagster.operations.restore.scratch import scratch_restore
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.operations.wal.restorable_until import measure_restorable

_LOGGED_AHEAD = 32  # PostgreSQL: SEQ_LOG_VALS
_DRAWN_MEANWHILE = 500
_ARCHIVED_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RestoredSite:
    """What is to be proven.

    Attributes:
        context: the site.
        point: id of the recovery point that was restored.
        source: the site's own database, as its owner.
        database: the restored one, as somebody who reads all of it.
        files: the restored files, below their prefix.
        known_before: the newest change when the backup of the point was asked for; it must be in it.
        versioned: whether the source of the files keeps versions: then no row may dangle.
    """

    context: SiteContext
    point: str
    source: Server
    database: Server
    files: PrefixedStore
    known_before: int
    versioned: bool


def rows_left_out(context: SiteContext, table: str) -> bool:
    """Say whether dumps of a site leave out the rows of a table (``schema.name``): caches, sessions, logs."""
    name = table.partition(".")[2]
    return any(fnmatchcase(name, pattern) for pattern in context.database.exclude_table_data)


def wait_for_life(source: Server, *, longest_seconds: float = 60.0) -> int:
    """Wait until a change is made; return its number.

    Raises:
        TransientError: nobody changes anything.
    """
    deadline = time.monotonic() + longest_seconds
    first: int | None = None
    while time.monotonic() < deadline:
        with source.connect() as connection:
            end = journal.journal_end(connection)
        number = end.number if end else 0
        if first is not None and number > first:
            return number
        first = number if first is None else first
        time.sleep(0.2)
    raise TransientError(f"nobody has changed {source.database} for {longest_seconds:.0f} s", hint="see live.log")


def compare_living(restored: RestoredSite) -> dict[str, Differences]:
    """Return what differs, by what was compared.

    Raises:
        BackupError: something cannot be read, or the moment cannot be reached along the other road.
    """
    with restored.database.connect() as connection:
        end = journal.journal_end(connection)
    if end is None or end.number < restored.known_before:
        findings = Findings()
        told = f"it knows changes up to {end.number if end else 0}, {restored.known_before} were made before"
        findings.add("journal of the restored database", told)
        return {"database": findings.result()}
    return {
        "database": _compare_rows(restored, end),
        restored.context.application.files_word.replace("_", " "): _compare_files(restored, end),
    }


def _compare_rows(restored: RestoredSite, end: journal.JournalEnd) -> Differences:
    _wait_for_wal(restored)
    repository = restored.context.open_repository(False)
    base: str | None = repository.manifest(restored.point).details["physical"]["base"]
    if base is None:
        raise BackupError(f"recovery point {restored.point} names no base backup that its moment is reached from")
    target = RecoveryTarget("xid", str(end.transaction_id))
    with scratch_restore(restored.context, base, target=target) as server:
        return compare_databases(
            restored.database,
            server.on(restored.source.database),
            sequence_slack=_LOGGED_AHEAD,
            sequence_lag=_DRAWN_MEANWHILE,
            ignore=lambda table: table == journal.PENDING_TABLE or rows_left_out(restored.context, table),
        )


def _wait_for_wal(restored: RestoredSite) -> None:
    """Wait until the archive reaches what the server has written by now; the moment lies before."""
    with restored.source.connect() as connection:
        row = connection.execute("select pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    wanted = Lsn.parse(row[0], timeline=0).value
    deadline = time.monotonic() + _ARCHIVED_WITHIN_SECONDS
    while True:
        reached = measure_restorable(restored.context).lsn
        if reached is not None and Lsn.parse(str(reached), timeline=0).value >= wanted:
            return
        if time.monotonic() > deadline:
            raise TransientError(
                f"WAL of {restored.context.site} is archived up to {reached} only, {row[0]} was written "
                f"{_ARCHIVED_WITHIN_SECONDS:.0f} s ago",
                hint="see the log of wal-receive",
            )
        time.sleep(0.5)


def _compare_files(restored: RestoredSite, end: journal.JournalEnd) -> Differences:
    files = restored.context.files
    with restored.source.connect() as connection, journal.still(connection):
        touched = journal.contents_since(connection, end.number)
        unsettled = journal.pending(connection)  # of a writer that died and has not come back
        untouched = compare_stores(
            files.store,
            "",
            restored.files.inner,
            restored.files.prefix,
            ignore=lambda key: key in touched or key in unsettled or not files.is_selected(key),
        )
    present = {info.key for info in restored.files.list()}
    findings = Findings()
    for key in sorted(each for each in touched if files.is_selected(each)):
        findings.count("objects changed since")
        found = content_of(restored.files, key) if key in present else None
        if found not in touched[key]:
            findings.add(f"object {key}", "is missing" if found is None else "has a content that it never had")
    _look_for_rows(restored, present, touched, findings)
    return _together(untouched, findings.result())


def _look_for_rows(
    restored: RestoredSite, present: Set[str], touched: Mapping[str, Set[str | None]], findings: Findings
) -> None:
    query = restored.context.application.file_reference_sql
    if query is None:
        return
    dangling: list[str] = []
    with restored.database.connect() as connection:
        for key, row_id, _ in connection.execute(query.encode()):
            if not restored.context.files.is_selected(key):
                continue
            findings.count("rows that name files")
            if key in present:
                continue
            if restored.versioned or None not in touched.get(key, ()):
                findings.add(f"row {row_id}", f"names {key}, which was not restored")
            dangling.append(f"{key} ({row_id})")
    if dangling:
        findings.note(f"{len(dangling)} of them name files that were deleted before they were listed: {dangling[:3]}")


def _together(first: Differences, second: Differences) -> Differences:
    return Differences(
        found=(*first.found, *second.found),
        total=first.total + second.total,
        compared={**first.compared, **second.compared},
        notes=(*first.notes, *second.notes),
    )
