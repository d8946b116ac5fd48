"""From a recovery point to the physical restore of the same moment: which base backup, and where recovery ends."""

from lc2_backup_dagster.model.errors import TargetUnreachable
from lc2_backup_dagster.model.recovery_target import RecoveryTarget
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.repository.site import SiteRepository


def physical_target(
    repository: SiteRepository, point: str, wanted: RecoveryTarget | None
) -> tuple[str | None, RecoveryTarget]:
    """Return the backup to start from (None for the newest before the target) and the target of a server's restore.

    Args:
        repository: the site's repository.
        point: a recovery point, or a backup of the database.
        wanted: another target than the point's own moment, or None for that.

    Raises:
        TargetUnreachable: no base backup and WAL lead to the point's moment.
        RecoveryPointNotFound: there is no such backup.
    """
    backup = repository.backup(point)
    if backup.component is not Component.RECOVERY_POINT:
        return point, wanted or RecoveryTarget("immediate")
    physical = repository.manifest(point).details["physical"]
    if physical is None:
        raise TargetUnreachable(
            f"recovery point {point} is partial and has no moment of the database",
            hint="restore its parts, or name a base backup of component database",
        )
    if wanted is not None:
        # Nothing tells which backup lies before a name or a transaction; the point's own base does.
        return (physical["base"] if wanted.kind in ("name", "xid", "immediate") else None), wanted
    if not physical["reaches_moment"]:
        raise TargetUnreachable(
            f"recovery point {point} cannot be restored as a server: {physical['reason']}",
            hint="restore its database, or name another recovery target",
        )
    # Exclusive: what began after the moment is not part of the point.
    target = RecoveryTarget("lsn", physical["lsn"], inclusive=False, timeline=physical["timeline"])
    return physical["base"], target
