"""``check``, ``list`` and ``show``: look, change nothing."""

import sys
from dataclasses import asdict
from datetime import datetime

import click
from rich.table import Table

from lc2_backup_dagster.cli.session import EXIT_DAMAGED, Session, exit_code, pass_session, size_text
from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.errors import BackupError, RecoveryPointNotFound
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.check_site import check_site
from lc2_backup_dagster.repository.history import CommittedBackup


@click.command()
@click.option("--offline", is_flag=True, help="Only read the site files; connect to nothing.")
@pass_session
def check(session: Session, offline: bool) -> None:
    """Check every site file, and that database, files and repository of each can be reached."""
    loaded = session.sites
    findings: list[dict[str, object]] = [
        {"site": None, "subject": "site file", "ok": False, "message": str(problem)} for problem in loaded.problems
    ]
    for definition in loaded.sites:
        site = str(definition.site_id)
        findings.append({"site": site, "subject": "site file", "ok": True, "message": "valid"})
        if offline:
            continue
        try:
            context = session.open(site)
        except BackupError as error:
            findings.append({"site": site, "subject": "environment", "ok": False, "message": str(error)})
            continue
        findings.extend({"site": site, **asdict(finding)} for finding in check_site(context))
    if session.as_json:
        session.print_json(findings)
    else:
        table = Table("site", "subject", "result")
        for finding in findings:
            mark = "[green]ok[/] " if finding["ok"] else "[red]problem[/] "
            table.add_row(str(finding["site"] or "—"), str(finding["subject"]), mark + _escaped(finding["message"]))
        session.console.print(table)
    if not all(finding["ok"] for finding in findings):
        sys.exit(EXIT_DAMAGED)


@click.command("list")
@click.argument("site", required=False)
@click.option("--component", type=click.Choice([str(each) for each in Component]), help="Only this component.")
@click.option("--since", metavar="TIME", help="Only backups of this moment or later, like 2026-11-23T00:00:00Z.")
@click.option("--until", metavar="TIME", help="Only backups of this moment or earlier.")
@click.option("--expired", is_flag=True, help="Also those that have expired and can be undeleted.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Newest first, at most so many."
)
@pass_session
def list_backups(
    session: Session,
    site: str | None,
    component: str | None,
    since: str | None,
    until: str | None,
    expired: bool,
    limit: int,
) -> None:
    """List backups, newest first, of one SITE (project/application) or of all."""
    earliest, latest = from_text(since) if since else None, from_text(until) if until else None
    rows: list[tuple[str, CommittedBackup]] = []
    failures: list[BackupError] = []
    for name in [site] if site else [str(each.site_id) for each in session.sites.sites]:
        try:
            history = session.open(name).open_repository(False).log.history()
        except BackupError as error:
            if site:
                raise
            # One site that cannot be read, or has no backup yet, takes the others' list from nobody.
            session.messages.print(f"{name}: {error}", markup=False)
            failures += [] if isinstance(error, RecoveryPointNotFound) else [error]
            continue
        rows += [
            (name, each)
            for each in history.backups.values()
            if (expired or each.expired_at is None)
            and (component is None or each.component == component)
            and _within(each, earliest, latest)
        ]
    rows.sort(key=lambda row: (row[1].committed_at, row[1].sequence), reverse=True)
    if session.as_json:
        session.print_json([{"site": name, **asdict(each)} for name, each in rows[:limit]])
    else:
        _print_backups(session, rows[:limit])
        if len(rows) > limit:
            session.messages.print(f"{len(rows) - limit} older ones are not shown; see --limit")
    if failures:
        sys.exit(max(exit_code(each) for each in failures))


def _print_backups(session: Session, rows: list[tuple[str, CommittedBackup]]) -> None:
    table = Table("site", "component", "id", "kind", "window", "restorable until", "size", "stored", "state")
    for name, each in rows:
        table.add_row(
            name,
            str(each.component),
            each.backup_id,
            str(each.kind),
            each.window or "—",
            each.summary["restorable_until"][:19] + "Z",
            size_text(each.summary.get("logical_bytes") or each.summary.get("plain_bytes")),
            size_text(each.summary.get("copied_stored_bytes", each.summary.get("stored_bytes"))),
            _state(each),
        )
    session.console.print(table)


@click.command()
@click.argument("site")
@click.argument("backup_id")
@pass_session
def show(session: Session, site: str, backup_id: str) -> None:
    """Show one backup of SITE: its manifest, without the list of parts."""
    repository = session.open(site).open_repository(False)
    backup, manifest = repository.backup(backup_id), repository.manifest(backup_id)
    if session.as_json:
        session.print_json({"backup": asdict(backup), "manifest": manifest.model_dump(mode="json")})
        return
    table = Table("field", "value", show_header=False)
    shown = {
        "id": backup.backup_id,
        "component": str(backup.component),
        "kind": f"{backup.kind}: {manifest.strategy.reason}",
        "parent": backup.parent or "none",
        "window": backup.window or "—",
        "restorable": f"{manifest.moment.restorable_from} to {manifest.moment.restorable_until}",
        "lsn": f"{manifest.moment.lsn} on timeline {manifest.moment.timeline}" if manifest.moment.lsn else "—",
        "size": size_text(backup.summary.get("logical_bytes") or manifest.plain_bytes),
        "stored": size_text(backup.summary.get("copied_stored_bytes", manifest.stored_bytes)),
        "begun, finished": f"{manifest.started}, {manifest.finished}",
        "committed": f"{backup.committed_at}, record {backup.sequence}",
        "status": _state(backup),
        "encryption": f"{manifest.encryption.cipher}, {manifest.encryption.key_id}" if manifest.encryption else "off",
        "manifest SHA-256": backup.manifest_sha256,
        "initiator": str(backup.initiator),
        "made with": manifest.tool,
    }
    for name, value in shown.items():
        table.add_row(name, _escaped(value))
    for stream in manifest.all_streams():
        table.add_row(
            f"stream {stream.name}",
            f"{len(stream.parts)} parts, {size_text(stream.plain_bytes)}, stored {size_text(stream.stored_bytes)}",
        )
    for name, value in manifest.details.items():
        table.add_row(name, _escaped(value if len(str(value)) < 300 else f"{str(value)[:300]} …"))
    session.console.print(table)


def _within(backup: CommittedBackup, earliest: datetime | None, latest: datetime | None) -> bool:
    moment = from_text(backup.summary["restorable_until"])
    return (earliest is None or moment >= earliest) and (latest is None or moment <= latest)


def _state(backup: CommittedBackup) -> str:
    if backup.expired_at:
        return f"expired {backup.expired_at[:10]}"
    state = "partial" if backup.summary.get("partial") else "complete"
    return f"held, {state}" if backup.holds else state


def _escaped(value: object) -> str:
    from rich.markup import escape

    return escape(str(value))
