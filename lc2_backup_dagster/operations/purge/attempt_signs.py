"""What the store says of attempts: when they began, whether they may still be alive, which folders are whose.

Times are the store's own, told of objects that it wrote itself; clocks of hosts are never compared (L-2, L-24).
"""

from datetime import datetime, timedelta

from lc2_backup_dagster.model.errors import LogCorrupt
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.history import RunningAttempt
from lc2_backup_dagster.repository.lease import last_sign_of_life
from lc2_backup_dagster.repository.site import SiteRepository
from lc2_backup_dagster.repository.wal.archive import first_names


def begun_at(repository: SiteRepository, sequence: int) -> datetime:
    """Return when the store took the ``begin`` record of an attempt: nothing of the attempt's data is older."""
    return repository.store.stat(layout.log_key(repository.site, sequence)).modified


def may_be_alive(repository: SiteRepository, attempt: RunningAttempt, *, grace: timedelta) -> bool:
    """Say whether an attempt that the log calls running has shown a sign of life within a grace, or its own lease.

    A missing heartbeat proves nothing: the attempt's begin counts then.
    """
    seen = last_sign_of_life(repository.store, repository.site, attempt.attempt_id)
    if seen is None:
        return repository.store.now() - begun_at(repository, attempt.sequence) <= grace
    return repository.store.now() - seen.at <= max(grace, seen.lease)


def attempt_folders(repository: SiteRepository, component: Component) -> list[str]:
    """Return the attempts that have a folder, and make sure that the log names every one.

    Raises:
        LogCorrupt: a folder belongs to no attempt of the log. Its end may have been cut off, and then whatever the
            lost records name looks like garbage.
    """
    found = first_names(repository.store, f"backups/{repository.site}/{component}/")
    history = repository.log.history()  # read afterwards: an attempt begins with its record, then makes its folder
    for attempt_id in found:
        if not history.names(attempt_id):
            raise LogCorrupt(
                f"{layout.backup_prefix(repository.site, component, attempt_id)} in {repository.store.url} belongs to "
                f"an attempt that the log of {repository.site} does not name",
                hint="if the end of the log was cut off (lc2-backup check compares it with the catalog), bring it back "
                "from the bucket's older versions; if the folder is foreign, remove it. Nothing was deleted",
                attempt_id=attempt_id,
            )
    return found
