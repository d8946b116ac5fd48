"""The demo's road: back up through Dagster, restore through Dagster, compare every row and every byte."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from lc2_backup_dagster.demo.compare import Differences, compare_databases, compare_stores
from lc2_backup_dagster.demo.platform import DATABASE, LIBRARY_BUCKET, RESTORED_BUCKET, SITE, DemoPlatform, Say
from lc2_backup_dagster.demo.seed.liferay_changes import make_changes
from lc2_backup_dagster.demo.servers.dagster_client import DagsterClient
from lc2_backup_dagster.demo.state import DemoState
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.errors import PermanentError
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.operations.capture.bind_recovery_point import restorable_points
from lc2_backup_dagster.operations.wal.restorable_until import measure_restorable
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.sites.assembly import OpenSite, open_site
from lc2_backup_dagster.sites.loader import load_sites, site_folders

_DAILY = ("database_dump", "document_library", "recovery_point")


@dataclass(slots=True)
class JourneyReport:
    """What happened.

    Attributes:
        rows: pairs of a label and what is to be said of it, in order.
        differences: what was found different, by what was compared.
        seconds: from the first launch to the end of the comparison.
    """

    rows: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    differences: dict[str, Differences] = field(default_factory=dict[str, Differences])
    seconds: float = 0.0

    @property
    def identical(self) -> bool:
        """Whether everything restored equals its source."""
        return all(each.equal for each in self.differences.values())


def walk(platform: DemoPlatform, client: DagsterClient, state: DemoState, *, home: Path, say: Say) -> JourneyReport:
    """Walk the whole road once.

    Later calls change some rows and files first, so that their backups are increments.

    Raises:
        PermanentError: a run failed; the message holds what Dagster says.
    """
    began = time.monotonic()
    report = JourneyReport()
    opened = _open(platform)
    if state.rounds:
        _change(platform, state, say)
    _back_up(client, say)
    point = _newest_point(opened)
    _tell_backups(opened, report)
    database, prefix = _restore(client, platform, state, point, say, home=home)
    _compare(platform, opened, report, database=database, prefix=prefix, say=say)
    _tell_restorable(opened, report)
    state.rounds += 1
    report.seconds = time.monotonic() - began
    return report


def _open(platform: DemoPlatform) -> OpenSite:
    environment = platform.environment
    sites = load_sites(site_folders(environment), environment=environment)
    return open_site(sites.site(SITE), environment=environment)


def _change(platform: DemoPlatform, state: DemoState, say: Say) -> None:
    owner = platform.postgres.server(DATABASE, user="liferay", password=state.owner_password)
    with owner.connect() as connection:
        changed = make_changes(connection, platform.store(LIBRARY_BUCKET), random=Random(state.rounds))
    say(
        f"people worked: {len(changed.added)} files added, {len(changed.replaced)} replaced, "
        f"{len(changed.deleted)} deleted, {len(changed.articles)} articles edited"
    )


def _back_up(client: DagsterClient, say: Say) -> None:
    _run(client, ("database",), WindowLength.HOURLY, say)
    _run(client, _DAILY, WindowLength.DAILY, say)


def _run(client: DagsterClient, names: Sequence[str], length: WindowLength, say: Say) -> None:
    """Materialize assets for the window of now; once more when the window ended meanwhile."""
    keys = [(SITE.project, SITE.application, name) for name in names]
    while True:
        window = Window.around(datetime.now(UTC), length=length)
        say(f"Dagster materializes {', '.join(names)} for {window.key} …")
        try:
            return _finish(client, client.launch_assets(keys, partition=window.key))
        except PermanentError:
            if datetime.now(UTC) in window:
                raise
            say(f"window {window.key} ended meanwhile")


def _finish(client: DagsterClient, run_id: str) -> None:
    run = client.wait(run_id, timeout_seconds=1800)
    if run.status != "SUCCESS":
        reasons = "\n".join(run.errors) or "see the run in the UI"
        raise PermanentError(f"run {run_id} ended as {run.status}: {reasons}")


def _newest_point(opened: OpenSite) -> CommittedBackup:
    points = restorable_points(opened.context.open_repository(False))
    if not points:
        raise PermanentError("no recovery point was committed")
    return points[-1]


def _tell_backups(opened: OpenSite, report: JourneyReport) -> None:
    newest = {each.component: each for each in opened.context.open_repository(False).backups()}
    base, dump, files = (newest[each] for each in (Component.DATABASE, Component.DATABASE_DUMP, Component.FILES))
    report.rows.append(("strategy of the database", _strategy(opened, base)))
    for label, backup in ((f"base backup ({base.kind})", base), ("dump", dump)):
        plain, stored = backup.summary["plain_bytes"], backup.summary["stored_bytes"]
        report.rows.append((label, f"{_mb(plain)} → {_mb(stored)} stored, {plain / stored:.1f}:1, encrypted"))
    summary = files.summary
    report.rows.append(
        (
            f"files ({files.kind})",
            f"{summary['objects']} files, {_mb(summary['logical_bytes'])}; {summary['changed_objects']} changed, "
            f"{_mb(summary['copied_bytes'])} moved, {summary['excluded']} generated ones left out",
        )
    )
    point = newest[Component.RECOVERY_POINT]
    report.rows.append(
        (
            "recovery point",
            f"{point.backup_id}: {point.summary['rows']} rows name files, {point.summary['dangling']} dangle",
        )
    )


def _strategy(opened: OpenSite, base: CommittedBackup) -> str:
    strategy = opened.context.open_repository(False).manifest(base.backup_id).strategy
    return f"{strategy.chosen}: {strategy.reason}"


def _tell_restorable(opened: OpenSite, report: JourneyReport) -> None:
    seen = measure_restorable(opened.context)
    if seen.until is not None and seen.lag_seconds is not None:
        report.rows.append(
            (
                "restorable until",
                f"{to_text(seen.until)[:19]}Z ({seen.lsn}), {seen.lag_seconds:.0f} s behind the server; "
                f"{seen.segments} whole WAL segments archived behind {seen.base}",
            )
        )


def _restore(
    client: DagsterClient, platform: DemoPlatform, state: DemoState, point: CommittedBackup, say: Say, *, home: Path
) -> tuple[str, str]:
    _forget_old_restores(platform, state)
    database, prefix = f"{DATABASE}_restored_{state.rounds + 1}", f"restored-{state.rounds + 1}/"
    state.restored_databases.append(database)
    state.restored_prefixes.append(prefix)
    state.save(home)  # before anything is there: a demo that is killed now is cleaned up by the next one
    say(f"Dagster restores {point.backup_id} to database {database} and {RESTORED_BUCKET}/{prefix} …")
    step = f"{SITE.project}__{SITE.application}__restore"
    config = {"ops": {step: {"config": {"target_database": database, "target_prefix": prefix}}}}
    keys = [(SITE.project, SITE.application, "restore")]
    _finish(client, client.launch_assets(keys, partition=point.backup_id, config=config))
    return database, prefix


def _forget_old_restores(platform: DemoPlatform, state: DemoState) -> None:
    """Remove what earlier calls of the demo restored: its own places only, named in its own state."""
    for name in state.restored_databases:
        platform.postgres.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    target = platform.store(RESTORED_BUCKET)
    for prefix in state.restored_prefixes:
        target.delete(item.key for item in list(target.list(prefix)))
    state.restored_databases.clear()
    state.restored_prefixes.clear()


def _compare(
    platform: DemoPlatform, opened: OpenSite, report: JourneyReport, *, database: str, prefix: str, say: Say
) -> None:
    say("comparing every row and every byte …")
    server = platform.postgres.server
    report.differences["database"] = compare_databases(server(DATABASE), server(database))
    selected: Callable[[str], bool] = opened.context.files.is_selected
    report.differences["document library"] = compare_stores(
        opened.context.files.store,
        "",
        platform.store(RESTORED_BUCKET),
        prefix,
        ignore=lambda key: not selected(key),
    )
    for label, found in report.differences.items():
        report.rows.append((f"restored {label}", found.text()))


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
