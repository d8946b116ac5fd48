"""Whether the moment of a recovery point can be restored physically too: base backup, and archived WAL up to it."""

import time
from collections.abc import Callable
from typing import Any

from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.chains import is_copy, position_of
from lc2_backup_dagster.operations.site_context import WalSettings
from lc2_backup_dagster.operations.wal.catching_up import caught_up
from lc2_backup_dagster.operations.wal.physical_reach import coverage_behind, needed_segments, wal_range
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.site import SiteRepository


def physical_point(
    repository: SiteRepository,
    dump: Manifest,
    settings: WalSettings | None,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Name the base and the WAL that lead to a dump's moment, or why nothing does; JSON values.

    Waits a little for a receiver that is about to store it: what is written down here stays.
    """
    told: dict[str, Any] = {
        "base": None,
        "reaches_moment": False,
        "lsn": dump.moment.lsn,
        "timeline": dump.moment.timeline,
        "restore_point": dump.details.get("restore_point"),
        "wal": None,
    }
    base = _base_before(repository, dump)
    if base is None:
        return {**told, "reason": "no base backup was taken before the moment"}
    told["base"] = base.backup_id
    if dump.moment.lsn is None or not dump.moment.timeline:
        return {**told, "reason": "the server did not tell the position of the moment; restore the dump"}
    moment = Lsn.parse(dump.moment.lsn, timeline=dump.moment.timeline)
    if (base.summary["lsn"], base.summary.get("timeline")) == (str(moment), moment.timeline):
        return {**told, "reaches_moment": True, "reason": f"{base.backup_id} ends at the moment"}
    if settings is None:
        reason = "no WAL is archived for this site, so nothing leads from a base backup to the moment; restore the dump"
        return {**told, "reason": reason}
    caught_up(repository.wal(str(base.summary.get("system_identifier"))), moment, settings, sleep=sleep)
    coverage = coverage_behind(repository, base)
    if coverage is None or coverage.end.timeline != moment.timeline or coverage.end < moment:
        end = f"{coverage.end} on timeline {coverage.end.timeline}" if coverage else "nowhere"
        gap = f" (segment {coverage.gap} is missing)" if coverage and coverage.gap else ""
        return {**told, "reason": f"archived WAL behind {base.backup_id} reaches {end}{gap} only; restore the dump"}
    names = needed_segments(coverage, moment, segment_bytes=base.summary["wal_segment_bytes"])
    told["wal"] = wal_range(coverage.start, moment, names)
    reason = f"{base.backup_id} and {len(names)} archived WAL segments reach the moment at {moment}"
    return {**told, "reaches_moment": True, "reason": reason}


def _base_before(repository: SiteRepository, dump: Manifest) -> CommittedBackup | None:
    """Return the newest base of the dump's cluster that ends at or before its moment, by time and by position."""
    cluster = dump.details.get("system_identifier")
    moment = from_text(dump.moment.restorable_until)
    for base in reversed(repository.backups(Component.DATABASE)):
        own = cluster in (None, base.summary.get("system_identifier"))
        if not is_copy(base) or not own or _ends_behind(base, dump):
            continue
        if from_text(base.summary["restorable_until"]) <= moment:
            return base
    return None


def _ends_behind(base: CommittedBackup, dump: Manifest) -> bool:
    """Tell whether a base ends behind a dump's position on the same timeline; clocks may say otherwise."""
    end, moment = position_of(base.summary), dump.moment
    if end is None or not moment.lsn or end.timeline != moment.timeline:
        return False
    return end > Lsn.parse(moment.lsn, timeline=end.timeline)
