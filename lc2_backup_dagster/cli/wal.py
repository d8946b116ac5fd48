"""``wal``: until when a site can be restored, measured in the repository."""

import sys
from datetime import datetime

import click
from rich.table import Table

from lc2_backup_dagster.cli.session import EXIT_DAMAGED, Session, pass_session, size_text
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.operations.wal.overview import SlotReport, SystemWal, archived_wal_of, slot_report


@click.command()
@click.argument("site")
@pass_session
def wal(session: Session, site: str) -> None:
    """Show the archived WAL of SITE: until which time and position it can be restored, gaps, the slot on the server.

    Measured from what lies in the repository, never from what a receiver says. Ends with code 4 when WAL is missing
    behind the newest base backup.
    """
    context = session.open(site)
    systems, slot = archived_wal_of(context.open_repository(False)), slot_report(context)
    if session.as_json:
        session.print_json({"systems": [_fields(each) for each in systems], "slot": _slot_fields(slot)})
    else:
        for each in systems:
            _print(session, each)
        if not systems:
            session.console.print(f"no WAL of {site} is archived", markup=False)
        if slot is not None:
            session.console.print(_slot_sentence(slot), markup=False)
    if any(each.coverage and each.coverage.gap for each in systems):
        sys.exit(EXIT_DAMAGED)


def _print(session: Session, system: SystemWal) -> None:
    table = Table("field", "value", show_header=False)
    coverage = system.coverage
    table.add_row("system", system.system_identifier)
    for timeline, count in system.timelines.items():
        table.add_row(f"timeline {timeline}", f"{count} whole segments")
    table.add_row("stored", size_text(system.stored_bytes))
    if system.base is None or coverage is None:
        table.add_row("restorable", "nothing: there is no base backup of this system")
    else:
        table.add_row("base backup", f"{system.base.backup_id} at {coverage.start}")
        table.add_row("restorable until", _time(coverage.until) or "the end of the base backup; no later time is known")
        table.add_row("restorable up to", f"{coverage.end} on timeline {coverage.end.timeline}")
        table.add_row("gap", f"{coverage.gap} is missing, later WAL exists" if coverage.gap else "none")
    session.console.print(table)


def _slot_sentence(slot: SlotReport) -> str:
    if slot.problem:
        return f"slot {slot.name}: not known, {slot.problem}"
    if slot.health is None:
        return f"slot {slot.name}: does not exist; wal-receive makes it"
    user = f"used by {slot.health.user}" if slot.health.user else "NOT in use: no receiver runs"
    return f"slot {slot.name}: {slot.health.wal_status}, lag {size_text(slot.health.lag_bytes)}, {user}"


def _fields(system: SystemWal) -> dict[str, object]:
    coverage = system.coverage
    return {
        "system_identifier": system.system_identifier,
        "segments": {str(timeline): count for timeline, count in system.timelines.items()},
        "stored_bytes": system.stored_bytes,
        "base": system.base.backup_id if system.base else None,
        "restorable_until": _time(coverage.until) if coverage else None,
        "restorable_lsn": str(coverage.end) if coverage else None,
        "timeline": coverage.end.timeline if coverage else None,
        "gap": coverage.gap if coverage else None,
    }


def _slot_fields(slot: SlotReport | None) -> dict[str, object] | None:
    if slot is None:
        return None
    health = slot.health
    return {
        "name": slot.name,
        "problem": slot.problem,
        "wal_status": health.wal_status if health else None,
        "lag_bytes": health.lag_bytes if health else None,
        "safe_wal_bytes": health.safe_wal_bytes if health else None,
        "user": health.user if health else None,
    }


def _time(moment: datetime | None) -> str | None:
    return to_text(moment) if moment else None
