"""What ``restore`` does with physical backups: whole servers, single databases and tables, single files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from lc2_backup_dagster.cli.restore_progress import restore_bar
from lc2_backup_dagster.cli.session import Session, size_text
from lc2_backup_dagster.model.recovery_target import IMMEDIATE, RecoveryTarget, TargetKind
from lc2_backup_dagster.operations.restore.file import restore_file
from lc2_backup_dagster.operations.restore.objects import restore_objects
from lc2_backup_dagster.operations.restore.server import RestoredServer, facts, plan_server_restore, restore_server


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """The options that say where a recovery ends, as they were given."""

    time: str | None
    lsn: str | None
    name: str | None
    xid: str | None
    latest: bool
    exclusive: bool
    timeline: int | None

    def target(self) -> RecoveryTarget:
        """Return the one target.

        Raises:
            click.UsageError: more than one.
            ConfigurationError: not readable as what it should be.
        """
        values: dict[TargetKind, str | None] = {
            "time": self.time, "lsn": self.lsn, "name": self.name, "xid": self.xid,
        }  # fmt: skip
        given: list[tuple[TargetKind, str | None]] = [(kind, value) for kind, value in values.items() if value]
        if self.latest:
            given.append(("latest", None))
        if len(given) > 1:
            raise click.UsageError("name one recovery target only: " + ", ".join(f"--to-{kind}" for kind, _ in given))
        if not given:
            if self.timeline is not None or self.exclusive:
                raise click.UsageError("--target-timeline and --exclusive go with a target, like --to-time")
            return IMMEDIATE
        [(kind, value)] = given
        return RecoveryTarget.parse(kind, value, inclusive=not self.exclusive, timeline=self.timeline)


def parse_tablespaces(given: tuple[str, ...]) -> dict[int, Path]:
    """Read ``OID=DIRECTORY``."""
    places: dict[int, Path] = {}
    for text in given:
        oid, equals, directory = text.partition("=")
        if not equals or not oid.isdecimal() or not directory:
            raise click.UsageError(f"--tablespace '{text}' is not OID=DIRECTORY")
        places[int(oid)] = Path(directory)
    return places


@dataclass(frozen=True, slots=True)
class ServerWish:
    """A server to restore."""

    site: str
    backup_id: str | None
    directory: Path
    target: RecoveryTarget
    start: bool
    delta: bool
    tablespaces: Mapping[int, Path]
    check_pages: bool


def plan_server(session: Session, wish: ServerWish) -> None:
    """Print what a restore of a server would do."""
    plan = plan_server_restore(
        session.open(wish.site),
        wish.backup_id,
        target_directory=wish.directory,
        target=wish.target,
        start=wish.start,
        delta=wish.delta,
        tablespaces=wish.tablespaces,
    )
    if session.as_json:
        session.print_json(asdict(plan))
        return
    out = session.console
    below = f" (an increment, restored with the {len(plan.chain) - 1} it stands on)" if len(plan.chain) > 1 else ""
    out.print(
        f"base backup {plan.backup_id}{below} of PostgreSQL {plan.server_version} as of "
        f"{plan.moment or plan.target}: {size_text(plan.plain_bytes)} in {plan.parts} parts, to {plan.directory}",
        markup=False,
    )
    if plan.target != str(IMMEDIATE):
        out.print(f"  then WAL to {plan.target}: at most {plan.wal_segments} archived segments", markup=False)
    for oid, location in plan.tablespaces.items():
        out.print(f"  tablespace {oid}, {location} there: to {wish.tablespaces.get(oid, '(not named)')}", markup=False)
    for blocker in plan.blockers:
        out.print(f"  blocker: {blocker}", markup=False)
    out.print("dry run: nothing was changed")


def restore_a_server(session: Session, wish: ServerWish) -> None:
    """Restore a server and print what was done."""
    with restore_bar(session) as bar:
        task = bar.add_task("database server", total=None)
        restored = restore_server(
            session.open(wish.site),
            wish.backup_id,
            target_directory=wish.directory,
            target=wish.target,
            start=wish.start,
            delta=wish.delta,
            tablespaces=wish.tablespaces,
            check_pages=wish.check_pages,
            initiator=session.initiator,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if session.as_json:
        session.print_json(facts(restored))
    else:
        _print_server(session, restored)


def _print_server(session: Session, restored: RestoredServer) -> None:
    out, base = session.console, restored.base
    put_together = f" from {base.backups} backups" if base.backups > 1 else ""
    left = f", {base.kept_files} left as they were, {base.deleted_files} deleted" if base.kept_files else ""
    out.print(
        f"{base.directory}: PostgreSQL {base.major}, {base.files} files{left}, "
        f"{size_text(base.bytes_written)}{put_together}, {base.seconds:.1f} s",
        markup=False,
    )
    if restored.recovered is not None:
        told = restored.recovered
        last = f", last commit {told.last_commit:%Y-%m-%dT%H:%M:%S.%fZ}" if told.last_commit else ""
        out.print(
            f"recovered to {told.end} on timeline {told.end.timeline}{last}; it goes on as timeline {told.timeline}",
            markup=False,
        )
    if restored.pages is not None:
        out.print(f"{restored.pages} pages have right checksums")
    if restored.databases:
        out.print(f"started and asked; its databases: {', '.join(restored.databases)}", markup=False)
    if restored.recovered is None:
        out.print("not started: its first start ends the recovery and begins a new timeline; start it as it is")
    out.print("it archives nothing; take that back with ALTER SYSTEM RESET archive_mode when it goes into service")


def restore_some_objects(
    session: Session, site: str, backup_id: str | None, *, source_database: str, tables: tuple[str, ...],
    target_database: str, target: RecoveryTarget, jobs: int,
) -> None:  # fmt: skip
    """Restore a database or tables out of a physical backup, and print what was done."""
    with restore_bar(session) as bar:
        tasks = {step: bar.add_task(step, total=None, visible=False) for step in ("server", "database")}
        restored = restore_objects(
            session.open(site),
            backup_id,
            source_database=source_database,
            target_database=target_database,
            tables=tables,
            target=target,
            jobs=jobs,
            initiator=session.initiator,
            progress=lambda step, done, total: bar.update(tasks[step], completed=done, total=total, visible=True),
        )
    if session.as_json:
        session.print_json(asdict(restored))
        return
    told = restored.database
    session.console.print(
        f"database {told.database}: {told.tables} tables out of '{source_database}', "
        f"{size_text(told.database_bytes)}, {restored.seconds:.1f} s",
        markup=False,
    )
    for name in restored.left_out:
        session.console.print(f"  left out: {name}", markup=False)


def restore_one_file(session: Session, site: str, backup_id: str, *, path: str, output: Path) -> None:
    """Restore one file of a data directory, and print what was done."""
    restored = restore_file(session.open(site), backup_id, path, output=output, initiator=session.initiator)
    if session.as_json:
        session.print_json(asdict(restored))
        return
    session.console.print(
        f"{restored.output}: {size_text(restored.size_bytes)} from {len(restored.backups)} backups", markup=False
    )
