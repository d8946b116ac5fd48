"""A site whose files lie in memory, with a clock of its own: days pass as a test says."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from lc2_backup_dagster.applications.registry import application_of
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.site import Component, SiteId
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.files import capture_site_files, file_entries
from lc2_backup_dagster.operations.site_context import (
    DatabaseAccess,
    FilesAccess,
    Limits,
    RestoreAccess,
    SiteContext,
)
from lc2_backup_dagster.repository.site import SiteRepository
from lc2_backup_dagster_tests.builders import TESTER, a_repository
from lc2_backup_dagster_tests.engines.files.library import fill
from lc2_backup_dagster_tests.engines.files.versioned import Versioned
from lc2_backup_dagster_tests.fakes import DyingStore, MemoryStore, SetClock

SITE = SiteId("retail", "liferay")
_SERVER = Server(host="nowhere", port=5432, user="nobody", password=None, database="none", sslmode="disable")


def day_of(moment: datetime) -> Window:
    return Window.around(moment, length=WindowLength.DAILY)


class FilesSite:
    """The source, the repository, and what one does with them.

    Attributes:
        clock: of everything.
        source: the files; keeps versions unless told otherwise.
        store: the repository's.
        context: as operations take it.
    """

    def __init__(self, scratch: Path, *, source: MemoryStore | None = None, **files: Any) -> None:
        self.clock = source.clock if source else SetClock()
        self.source = source or Versioned(self.clock)
        self.store = DyingStore(self.clock)
        access = FilesAccess(
            store=self.source,
            source_id="memory:library",
            is_selected=lambda key: not key.endswith(".tmp"),
            is_generated=lambda key: False,
            protection_of=lambda key: "store" if key.startswith("public/") else "client",
            max_concurrency=2,
        )
        self.context = SiteContext(
            site=SITE,
            application=application_of("liferay"),
            database=DatabaseAccess(_SERVER, _SERVER, None, scratch, ()),
            library=replace(access, **files),
            restore=RestoreAccess(
                _SERVER, lambda bucket, prefix: MemoryStore(), None, lambda path, create: MemoryStore()
            ),
            limits=Limits(),
            open_repository=self.open_repository,
        )

    def open_repository(self, create: bool, /) -> SiteRepository:
        return a_repository(self.store, SITE, wrapper=None, clock=self.clock, create=create)

    @property
    def repository(self) -> SiteRepository:
        return self.open_repository(False)

    @property
    def today(self) -> Window:
        return day_of(self.clock.now())

    def changed(self, **files: Any) -> SiteContext:
        return replace(self.context, library=replace(self.context.files, **files))

    def change(self, **files: bytes | None) -> None:
        """Write and delete files; ten minutes pass before and after."""
        self.clock.move(minutes=10)
        fill(self.source, {key: body for key, body in files.items() if body is not None})
        self.source.delete([key for key, body in files.items() if body is None])
        self.clock.move(minutes=10)

    def next_day(self) -> Window:
        """Let the day end, and return it."""
        ended = self.today
        self.clock.time = ended.end + timedelta(hours=2)
        return ended

    def capture(self, window: Window | None = None, *, asked_at: datetime | None = None) -> Captured:
        return capture_site_files(
            self.context,
            window=window or self.today,
            asked_at=asked_at or self.clock.now(),
            initiator=TESTER,
        )

    def contents(self, captured: Captured) -> dict[str, int]:
        """Return the size of every file of a backup."""
        return self.contents_of(captured.backup.backup_id)

    def contents_of(self, backup_id: str) -> dict[str, int]:
        with file_entries(self.repository, backup_id) as entries:
            return {entry.key: entry.size_bytes for entry in entries}

    def backups(self) -> list[str]:
        return [each.backup_id for each in self.repository.backups(Component.FILES)]
