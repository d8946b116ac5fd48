"""Short ways to values and repositories for tests."""

from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from lc2_backup_dagster.clouds.keys import KeyWrapper
from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.clock import Clock
from lc2_backup_dagster.model.site import BackupKind, Component, SiteId
from lc2_backup_dagster.model.window import Moment
from lc2_backup_dagster.repository.attempt import ManifestDraft
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.record import Initiator
from lc2_backup_dagster.repository.site import SiteRepository, open_site_repository

TESTER = Initiator(actor="tester", source="cli")


def a_moment(hour: int = 2) -> Moment:
    at = datetime(2026, 11, 23, hour, 0, 1, tzinfo=UTC)
    return Moment(at, at, lsn="0/3000028", timeline=1)


def a_draft(**changes: Any) -> ManifestDraft:
    fields: dict[str, Any] = {
        "kind": BackupKind.FULL,
        "moment": a_moment(),
        "window": "2026-11-23-02:00",
        "strategy": ("full", "the first backup of this site"),
        "streams": (),
    }
    return ManifestDraft(**{**fields, **changes})


def a_repository(
    store: ObjectStore, site: SiteId, *, wrapper: KeyWrapper | None, clock: Clock, create: bool = True
) -> SiteRepository:
    return open_site_repository(store, site, wrapper=wrapper, create=create, clock=clock)


def a_backup(
    repository: SiteRepository,
    content: bytes = b"content",
    *,
    component: Component = Component.DATABASE,
    stream: str = "base.tar",
    **draft: Any,
) -> CommittedBackup:
    with repository.begin(component, window=None, initiator=TESTER) as attempt:
        written = attempt.write_stream(stream, BytesIO(content))
        return attempt.commit(a_draft(streams=(written,), **draft))
