"""What a server says of itself to the role that backs it up, and what would make backups of it better."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.engines.postgres.base.backup_manifest import WalRange
from lc2_backup_dagster.model.lsn import Lsn

if TYPE_CHECKING:
    import psycopg

INCREMENTS_SINCE = 17


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server said of itself.

    Attributes:
        version: like ``17.10``.
        major: like 17.
        system_identifier: unique number of the cluster, as text; None where the server does not tell this role.
        timeline: its current timeline, None likewise.
        in_recovery: it is a standby.
        wal_level: ``minimal``, ``replica`` or ``logical``.
        wal_segment_bytes: size of a WAL segment.
        page_bytes: size of a page.
        checksums_on: pages carry checksums.
        database_bytes: size of the connected database.
        cluster_bytes: size of all tablespaces, or None where this role may not ask.
        tablespaces: names of tablespaces beyond the two built-in ones.
        summarize_wal: the server makes the WAL summaries that increments need; never below 17.
        summarized: WAL whose summaries are there, merged, by timeline and position; None where this role may not ask
            or there are none by nature.
        slot_keeps_bytes: ``max_slot_wal_keep_size``: how much WAL a slot may hold back before it is lost; None for
            no limit.
        advice: what would make backups better though they succeed without it, each with the statement.
    """

    version: str
    major: int
    system_identifier: str | None
    timeline: int | None
    in_recovery: bool
    wal_level: str
    wal_segment_bytes: int
    page_bytes: int
    checksums_on: bool
    database_bytes: int
    cluster_bytes: int | None
    tablespaces: tuple[str, ...]
    summarize_wal: bool = False
    summarized: tuple[WalRange, ...] | None = None
    slot_keeps_bytes: int | None = None
    advice: tuple[str, ...] = ()

    @property
    def summaries_from(self) -> Lsn | None:
        """Oldest position from which on the newest timeline is summarized without a gap; None if there is none."""
        return self.summarized[-1].start if self.summarized else None

    def summaries_reach(self, start: Lsn) -> bool | None:
        """Say whether an increment to a backup that starts here finds its summaries; None where it cannot be told.

        What is not summarized yet counts as there: the server waits for it.
        """
        if self.summarized is None:
            return None
        ranges = [found for found in self.summarized if found.start.timeline == start.timeline]
        return bool(ranges) and ranges[-1].start <= start


def read_facts(connection: "psycopg.Connection[Any]", *, major: int, user: str) -> ServerFacts:
    """Ask for everything that this role may know.

    Args:
        connection: to any database.
        major: the server's major version.
        user: the role, for the statements in ``advice``.
    """
    row = connection.execute(
        """
        SELECT split_part(current_setting('server_version'), ' ', 1), pg_is_in_recovery(),
               current_setting('wal_level'), current_setting('data_checksums') = 'on',
               (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
               pg_database_size(current_database()),
               has_function_privilege('pg_control_system()', 'EXECUTE')
                 AND has_function_privilege('pg_control_checkpoint()', 'EXECUTE'),
               array(SELECT spcname::text FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')
                     ORDER BY 1),
               (SELECT bool_and(pg_has_role('pg_read_all_stats', 'USAGE')
                                OR has_tablespace_privilege(oid, 'CREATE')) FROM pg_tablespace),
               coalesce(current_setting('summarize_wal', true) = 'on', false),
               (SELECT nullif(setting::bigint, -1) * 1024 * 1024 FROM pg_settings
                WHERE name = 'max_slot_wal_keep_size'),
               current_setting('block_size')::int
        """
    ).fetchone()
    assert row is not None
    version, in_recovery, wal_level, checksums_on, segment, database_bytes, may_control, tablespaces = row[:8]
    may_size, summarize_wal, slot_keeps_bytes, page_bytes = row[8:]
    control: Any = (None, None)
    if may_control:
        control = connection.execute(
            "SELECT system_identifier::text, timeline_id FROM pg_control_system(), pg_control_checkpoint()"
        ).fetchone()
    cluster_bytes: Any = None
    if may_size:
        total = connection.execute("SELECT sum(pg_tablespace_size(oid))::bigint FROM pg_tablespace").fetchone()
        cluster_bytes = total[0] if total else None
    summarized = _summarized(connection) if summarize_wal else None
    advice: list[str] = []
    if not checksums_on:
        advice.append(
            "page checksums are off, so damaged pages are noticed late: pg_checksums --enable, server stopped"
        )
    if major >= INCREMENTS_SINCE and not summarize_wal:
        advice.append(
            "summarize_wal is off, so every physical backup is a full one: "
            "ALTER SYSTEM SET summarize_wal = on; SELECT pg_reload_conf()"
        )
    if summarize_wal and summarized is None:
        advice.append(
            "this role may not see how far WAL summaries reach back: "
            f'GRANT EXECUTE ON FUNCTION pg_available_wal_summaries() TO "{user}"'
        )
    if cluster_bytes is None:
        advice.append(f'this role may not see the size of tablespaces: GRANT pg_read_all_stats TO "{user}"')
    return ServerFacts(
        version=version,
        major=major,
        system_identifier=control[0],
        timeline=control[1],
        in_recovery=in_recovery,
        wal_level=wal_level,
        wal_segment_bytes=segment,
        page_bytes=page_bytes,
        checksums_on=checksums_on,
        database_bytes=database_bytes,
        cluster_bytes=cluster_bytes,
        tablespaces=tuple(tablespaces),
        summarize_wal=summarize_wal,
        summarized=summarized,
        slot_keeps_bytes=slot_keeps_bytes,
        advice=tuple(advice),
    )


def _summarized(connection: "psycopg.Connection[Any]") -> tuple[WalRange, ...] | None:
    may = connection.execute("SELECT has_function_privilege('pg_available_wal_summaries()', 'EXECUTE')").fetchone()
    if may is None or not may[0]:
        return None
    rows = connection.execute(
        "SELECT tli, (start_lsn - '0/0')::bigint, (end_lsn - '0/0')::bigint FROM pg_available_wal_summaries()"
        " ORDER BY tli, start_lsn, end_lsn"
    ).fetchall()
    merged: list[list[int]] = []
    for timeline, start, end in rows:
        if merged and merged[-1][0] == timeline and start <= merged[-1][2]:
            merged[-1][2] = max(merged[-1][2], end)
        else:
            merged.append([timeline, start, end])
    return tuple(WalRange(Lsn(start, timeline), Lsn(end, timeline)) for timeline, start, end in merged)
