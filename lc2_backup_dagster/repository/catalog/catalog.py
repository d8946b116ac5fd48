"""Projects commit logs into PostgreSQL and answers questions about backups."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lc2_backup_dagster.model.errors import (
    BackupError,
    ConfigurationError,
    LogCorrupt,
    ObjectNotFound,
)
from lc2_backup_dagster.model.site import BackupKind, Component, SiteId
from lc2_backup_dagster.repository import canonical, layout
from lc2_backup_dagster.repository.catalog import rows
from lc2_backup_dagster.repository.catalog.backup import BackupStatus, CatalogBackup, LogHead
from lc2_backup_dagster.repository.catalog.connection import open_engine, transaction, upgrade
from lc2_backup_dagster.repository.catalog.tables import backups, log_heads, log_records
from lc2_backup_dagster.repository.history import CommittedBackup, History
from lc2_backup_dagster.repository.record import NO_RECORD, Record
from lc2_backup_dagster.repository.site import SiteRepository

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Table

_BATCH = 2000


@dataclass(frozen=True, slots=True)
class _State:
    head: LogHead
    running: list[dict[str, Any]]


class Catalog:
    """The catalog in one database; safe to use from several threads and processes.

    Args:
        url: ``postgresql://…`` or ``postgresql+psycopg://…`` of the database.
    """

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)

    def migrate(self) -> None:
        """Make or bring up the tables. Idempotent; several processes may do it at once.

        Raises:
            CatalogUnavailable: the database cannot be reached, or the role may not create a schema.
        """
        upgrade(self._engine)

    def project(self, repository: SiteRepository) -> int:
        """Take over what a site's log has that the catalog has not; return the number of records.

        Idempotent, and safe beside other projections of the same site: they wait for each other. All records go in
        with one transaction, so a killed process leaves the catalog as it was.

        Raises:
            LogCorrupt: the log is damaged, or ends before the record that the catalog has seen; nothing was changed.
            ConfigurationError: the catalog holds this site from another repository.
            CatalogUnavailable: the database cannot be reached.
        """
        with transaction(self._engine) as connection:
            state = _locked(connection, repository)
            _check(repository, state.head)
            return _apply(connection, repository, state)

    def rebuild(self, repositories: Iterable[SiteRepository]) -> int:
        """Forget everything about these sites and replay their logs; return the number of records.

        Makes the tables first where they are missing. Each site is one transaction: readers see the old projection
        until the new one is whole. A site that fails keeps its old one and does not stop the others.

        Raises:
            LogCorrupt: a log is damaged; raised after all other sites were replayed.
            CatalogUnavailable: the database cannot be reached.
        """
        self.migrate()
        count = 0
        failures: list[BackupError] = []
        for repository in repositories:
            try:
                with transaction(self._engine) as connection:
                    _locked(connection, repository, forget=True)
                    count += _apply(connection, repository, _State(_no_head(repository), []))
            except BackupError as error:
                failures.append(error)
        if failures:
            first, *others = failures
            for other in others:
                first.add_note(f"and: {other}")
            raise first
        return count

    def check_head(self, repository: SiteRepository) -> LogHead:
        """Prove that the bucket's log still holds the last record that the catalog has seen; return that head.

        A log whose tail was cut off, or that was rewritten by someone who had the keys, is whole in itself. Only
        somebody who remembers its head can tell.

        Raises:
            LogCorrupt: the record is gone, or is another one.
            ConfigurationError: the catalog holds this site from another repository.
            CatalogUnavailable: the database cannot be reached.
        """
        from sqlalchemy import select

        with transaction(self._engine) as connection:
            query = select(log_heads).where(log_heads.c.site == str(repository.site))
            row = connection.execute(query).mappings().one_or_none()
        head = _no_head(repository) if row is None else _state(row, repository).head
        _check(repository, head)
        return head

    def heads(self) -> list[LogHead]:
        """Return the head of every site's log as far as the catalog knows it, by site."""
        from sqlalchemy import select

        with transaction(self._engine) as connection:
            found = connection.execute(select(log_heads).order_by(log_heads.c.site)).all()
        return [LogHead(SiteId.parse(each.site), each.repository_id, each.sequence, each.sha256) for each in found]

    def backups(
        self,
        *,
        project: str | None = None,
        application: str | None = None,
        component: Component | None = None,
        kind: BackupKind | None = None,
        status: BackupStatus | None = BackupStatus.COMMITTED,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = 100,
    ) -> list[CatalogBackup]:
        """Return backups, the newest commit first.

        Args:
            project: only this project's.
            application: only this application's.
            component: only this component's.
            kind: only those made this way.
            status: only those with this status; None for all.
            since: only those whose latest restorable moment is not before this zone-aware time.
            until: only those whose latest restorable moment is before this zone-aware time.
            limit: at most so many; None for all.

        Raises:
            ConfigurationError: a time has no zone (L-15).
            CatalogUnavailable: the database cannot be reached.
        """
        from sqlalchemy import func, select

        for time in (since, until):
            if time is not None and time.tzinfo is None:
                raise ConfigurationError(f"the time {time.isoformat()} has no time zone", hint="append Z for UTC")
        columns = backups.c
        moment = func.coalesce(columns.restorable_until, columns.committed_at)
        wanted: list[ColumnElement[bool] | None] = [
            None if project is None else columns.project == project,
            None if application is None else columns.application == application,
            None if component is None else columns.component == str(component),
            None if kind is None else columns.kind == str(kind),
            None if status is None else columns.status == str(status),
            None if since is None else moment >= since,
            None if until is None else moment < until,
        ]
        query = (
            select(backups)
            .where(*(each for each in wanted if each is not None))
            .order_by(columns.committed_at.desc(), columns.sequence.desc(), columns.site)
            .limit(limit)
        )
        with transaction(self._engine) as connection:
            return [rows.catalog_backup(row) for row in connection.execute(query).mappings()]

    def close(self) -> None:
        """Release what the catalog holds; connections are open only during calls."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _no_head(repository: SiteRepository) -> LogHead:
    return LogHead(repository.site, repository.repository_id, 0, NO_RECORD)


def _locked(connection: "Connection", repository: SiteRepository, *, forget: bool = False) -> _State:
    """Lock the site's head until the end of the transaction, making it first when there is none."""
    from sqlalchemy import delete, func, select
    from sqlalchemy.dialects.postgresql import insert

    site = str(repository.site)
    first: dict[str, Any] = {
        "repository_id": repository.repository_id,
        "sequence": 0,
        "sha256": NO_RECORD,
        "running": [],
    }
    connection.execute(insert(log_heads).values(site=site, projected_at=func.now(), **first).on_conflict_do_nothing())
    row = connection.execute(select(log_heads).where(log_heads.c.site == site).with_for_update()).mappings().one()
    if forget:
        for table in (log_records, backups):
            connection.execute(delete(table).where(table.c.site == site))
        return _State(_no_head(repository), [])
    return _state(row, repository)


def _state(row: Mapping[Any, Any], repository: SiteRepository) -> _State:
    if row["repository_id"] != repository.repository_id:
        raise ConfigurationError(
            f"the catalog holds {repository.site} from repository {row['repository_id']}, but "
            f"{repository.store.url} holds repository {repository.repository_id}",
            hint="if the site has really moved there, run lc2-backup rebuild",
            site=str(repository.site),
        )
    head = LogHead(repository.site, row["repository_id"], row["sequence"], row["sha256"])
    return _State(head, row["running"])


def _check(repository: SiteRepository, head: LogHead) -> None:
    if head.sequence == 0:
        return
    key = layout.log_key(repository.site, head.sequence)
    try:
        data = repository.store.get(key)
    except ObjectNotFound as error:
        raise LogCorrupt(
            f"the log of {repository.site} in {repository.store.url} was cut off: the catalog has seen record "
            f"{head.sequence}, and it is gone",
            hint="look for the missing records in the bucket's older versions; nothing was changed",
            sequence=head.sequence,
        ) from error
    if canonical.sha256(data) != head.sha256:
        raise LogCorrupt(
            f"record {head.sequence} of the log of {repository.site} in {repository.store.url} is not the one that "
            "the catalog has seen: the log was rewritten",
            hint="look for the original records in the bucket's older versions; nothing was changed",
            sequence=head.sequence,
        )


def _apply(connection: "Connection", repository: SiteRepository, state: _State) -> int:
    """Fold new records with the fold that fencing and listing use, and write down what came of it."""
    from sqlalchemy import delete, func, insert, update

    head, site, repository_id = state.head, repository.site, repository.repository_id
    history = History(sequence=head.sequence, head_sha256=head.sha256, running=rows.running_attempts(state.running))
    before: dict[str, CommittedBackup] = {}
    for batch in _batches(repository.log.records(after=head.sequence, after_sha256=head.sha256)):
        if head.sequence:  # what a fold changes must be known to it; the rest of a long history need not be
            known = _known(connection, repository, _mentioned(batch) - history.backups.keys() - before.keys())
            before |= known
            history.backups |= known
        connection.execute(
            insert(log_records), [rows.record_row(each, repository_id=repository_id, site=site) for each in batch]
        )
        history.apply(batch)
    if head.sequence and history.sequence == head.sequence:
        return 0
    gone = [backup_id for backup_id in before if backup_id not in history.backups]
    if gone:
        connection.execute(delete(backups).where(_of(backups, repository), backups.c.backup_id.in_(gone)))
    # Backups are frozen values: one that is another object than before was changed.
    changed = [each for name, each in history.backups.items() if before.get(name) is not each]
    if changed:
        _put(connection, [rows.backup_row(each, repository_id=repository_id, site=site) for each in changed])
    connection.execute(
        update(log_heads)
        .where(log_heads.c.site == str(site))
        .values(
            repository_id=repository_id,
            sequence=history.sequence,
            sha256=history.head_sha256,
            running=rows.running_json(history.running),
            projected_at=func.now(),
        )
    )
    return history.sequence - head.sequence


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    while batch := list(islice(records, _BATCH)):
        yield batch


def _mentioned(records: Iterable[Record]) -> set[str]:
    """Return the backups that records of any type name in the fields that the fold looks up."""
    found: set[str] = set()
    for body in (record.body for record in records):
        if "backup_id" in body:
            found.add(body["backup_id"])
        found.update(body.get("backup_ids", []))
    return found


def _known(connection: "Connection", repository: SiteRepository, ids: set[str]) -> dict[str, CommittedBackup]:
    from sqlalchemy import select

    if not ids:
        return {}
    query = select(backups).where(_of(backups, repository), backups.c.backup_id.in_(ids))
    return {row["backup_id"]: rows.committed_backup(row) for row in connection.execute(query).mappings()}


def _put(connection: "Connection", values: list[dict[str, Any]]) -> None:
    from sqlalchemy.dialects.postgresql import insert

    statement = insert(backups)
    keys = {column.name for column in backups.primary_key}
    replaced = {column.name: statement.excluded[column.name] for column in backups.c if column.name not in keys}
    connection.execute(statement.on_conflict_do_update(constraint="backups_pkey", set_=replaced), values)


def _of(table: "Table", repository: SiteRepository) -> "ColumnElement[bool]":
    from sqlalchemy import and_

    return and_(table.c.repository_id == repository.repository_id, table.c.site == str(repository.site))
