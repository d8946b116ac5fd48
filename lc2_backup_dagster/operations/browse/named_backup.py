"""From a name that a person writes to the backup of a component."""

from lc2_backup_dagster.model.errors import ConfigurationError, RecoveryPointNotFound
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.site import SiteRepository

LATEST = "latest"


def named_backup(repository: SiteRepository, name: str, component: Component, *, what: str) -> CommittedBackup:
    """Return the backup of a component that a name means.

    Args:
        repository: the site's repository.
        name: id of a recovery point or of a backup of the component, or ``latest``.
        component: what is wanted of it.
        what: the component, for messages.

    Raises:
        RecoveryPointNotFound: there is no such backup, or that member of the point has expired.
        ConfigurationError: it is a backup of something else, or a point without it.
    """
    if name == LATEST:
        backups = repository.backups(component)
        if not backups:
            raise RecoveryPointNotFound(f"{repository.site} has no backup of its {what}", hint="make one first")
        return backups[-1]
    backup = repository.backup(name)
    if backup.component is Component.RECOVERY_POINT:
        for member_id in backup.summary["member_ids"]:
            member = repository.backup(member_id)
            if member.component is component:
                return member
    if backup.component is not component:
        raise ConfigurationError(
            f"backup {name} holds {backup.component}, which has no {what}",
            hint=f"name a recovery point with {what}, or a backup of {what}; lc2-backup list shows them",
        )
    return backup
