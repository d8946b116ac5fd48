"""Receive WAL of a site into its repository for as long as asked, and write down what was lost."""

from collections.abc import Callable

from lc2_backup_dagster.engines.postgres.wal.receiver import ReceiverOptions, WalReceiver
from lc2_backup_dagster.engines.postgres.wal.status import ReceiverStatus
from lc2_backup_dagster.model.errors import ConfigurationError, SlotLost
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.record import Initiator, RecordType
from lc2_backup_dagster.repository.wal.header import WalGap
from lc2_backup_dagster.repository.wal.names import lsn_text


def receive_wal(
    context: SiteContext,
    *,
    initiator: Initiator,
    once: bool = False,
    on_start: Callable[[WalReceiver], None] = lambda receiver: None,
    on_status: Callable[[ReceiverStatus], None] = lambda status: None,
    on_notice: Callable[[str], None] = lambda text: None,
) -> None:
    """Archive WAL until the receiver is told to stop, or with ``once`` until all is archived that there was.

    Makes the repository where there is none yet. Idempotent: what is archived already is compared and left alone.

    Args:
        context: the site.
        initiator: who asks; stands in the record of a loss.
        once: end when everything is archived that the server had at the start.
        on_start: given the receiver before it begins, so that a signal can stop it.
        on_status: called about once a second.
        on_notice: called with sentences for an operator's log.

    Raises:
        ConfigurationError: the site does not archive WAL.
        SlotLost: the server has removed WAL that is not archived; recorded in the commit log, once for each gap.
        WalDiverged: a segment is archived already with other content.
        ComponentBusy: another receiver uses the slot.
        BackupError: whatever else waiting does not mend.
    """
    settings = context.database.wal
    if settings is None:
        raise ConfigurationError(
            f"site {context.site} does not archive WAL", hint="set database.wal.enabled to true in its site file"
        )
    repository = context.open_repository(True)
    receiver = WalReceiver(
        context.database.replication,
        repository.wal,
        ReceiverOptions(
            slot=settings.slot,
            partial_seconds=settings.partial_seconds,
            lag_alarm_bytes=settings.slot_lag_alarm_bytes,
            once=once,
        ),
        on_status=on_status,
        on_notice=on_notice,
    )
    on_start(receiver)
    try:
        receiver.run()
    except SlotLost as error:
        gap = error.attributes.get("gap")
        if isinstance(gap, WalGap):
            body = {
                "operation": "wal-receive",
                "reason": error.message,
                "slot": settings.slot,
                "timeline": gap.timeline,
                "from_lsn": lsn_text(gap.from_lsn),
                "until_lsn": lsn_text(gap.until_lsn),
            }
            repository.tell(RecordType.REFUSE, initiator=initiator, body=body)
        raise
