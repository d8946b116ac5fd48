"""Write down in the commit log how a restore ended, whichever way it did."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

from lc2_backup_dagster.model.errors import BackupError
from lc2_backup_dagster.repository.record import Initiator, RecordType
from lc2_backup_dagster.repository.site import SiteRepository

_LONGEST_REASON = 2000


@contextmanager
def recorded_restore(repository: SiteRepository, initiator: Initiator, body: dict[str, Any]) -> Generator[None]:
    """Record the restore that the block carries out.

    Args:
        repository: the site's repository.
        initiator: who asks.
        body: what is restored; the block may complete it. Once all data is restored and only what follows is left, the
            block sets ``result`` to ``restored``; whatever happens then, that is what is recorded.

    An error of the block is recorded and raised on; where it cannot be recorded it is the one to show all the same.
    """
    try:
        yield
    except BackupError as error:
        with suppress(BackupError):
            reason = str(error)[:_LONGEST_REASON]
            failed = {"result": "failed", **body, "reason": reason}
            repository.tell(RecordType.RESTORE, initiator=initiator, body=failed)
        raise
    except BaseException:
        if "result" in body:
            with suppress(BackupError):
                broken_off = {**body, "reason": "interrupted before all that was to follow was done"}
                repository.tell(RecordType.RESTORE, initiator=initiator, body=broken_off)
        raise
    repository.tell(RecordType.RESTORE, initiator=initiator, body={**body, "result": "restored", "reason": ""})
