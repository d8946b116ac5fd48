"""Whether the moment of a recovery point can be restored physically too: base backup, and archived WAL up to it."""

import time
from collections.abc import Callable
from typing import Any

from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.chains import is_copy
from lc2_backup_dagster.operations.physical_reach import coverage_behind, needed_segments
from lc2_backup_dagster.operations.site_context import WalSettings
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.site import SiteRepository

_PATIENCE_SECONDS = 10


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
    _wait_for(repository, base, moment, settings, sleep)
    coverage = coverage_behind(repository, base)
    if coverage is None or coverage.end.timeline != moment.timeline or coverage.end < moment:
        end = f"{coverage.end} on timeline {coverage.end.timeline}" if coverage else "nowhere"
        gap = f" (segment {coverage.gap} is missing)" if coverage and coverage.gap else ""
        return {**told, "reason": f"archived WAL behind {base.backup_id} reaches {end}{gap} only; restore the dump"}
    names = needed_segments(coverage, moment, segment_bytes=base.summary["wal_segment_bytes"])
    told["wal"] = {
        "from_lsn": str(coverage.start),
        "from_timeline": coverage.start.timeline,
        "to_lsn": str(moment),
        "to_timeline": moment.timeline,
        "segments": len(names),
        "first_segment": names[0] if names else None,
        "last_segment": names[-1] if names else None,
    }
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
    timeline, lsn = base.summary.get("timeline"), base.summary.get("lsn")
    if not dump.moment.lsn or not timeline or not lsn or timeline != dump.moment.timeline:
        return False
    return Lsn.parse(lsn, timeline=timeline) > Lsn.parse(dump.moment.lsn, timeline=timeline)


def _wait_for(
    repository: SiteRepository,
    base: CommittedBackup,
    moment: Lsn,
    settings: WalSettings,
    sleep: Callable[[float], None],
) -> None:
    archive = repository.wal(str(base.summary.get("system_identifier")))
    for _ in range(3 * settings.partial_seconds + _PATIENCE_SECONDS):
        position = archive.position()
        if position is None or (position.timeline, position.sample.lsn) >= (moment.timeline, moment.value):
            return
        sleep(1.0)
