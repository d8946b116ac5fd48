"""Backups of files without their contents: lists in a repository in memory, cut into many small parts."""

from collections.abc import Iterable
from io import BytesIO
from typing import Any

from lc2_backup_dagster.engines.files.manifest.entry import STREAM, FileEntry, encode_entries
from lc2_backup_dagster.model.site import Component, SiteId
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.parts import WriteOptions
from lc2_backup_dagster.repository.site import SiteRepository, open_site_repository
from lc2_backup_dagster_tests.builders import TESTER, a_draft
from lc2_backup_dagster_tests.fakes import MemoryStore


class CountingStore(MemoryStore):
    """Remembers the keys that were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def get(self, key: str, **options: Any) -> bytes:
        self.read.append(key)
        return super().get(key, **options)


def a_list_repository(store: MemoryStore, *, part_bytes: int) -> SiteRepository:
    return open_site_repository(
        store,
        SiteId("retail", "liferay"),
        wrapper=None,
        create=True,
        options=WriteOptions(part_bytes=part_bytes, in_flight=1),
    )


def a_list_backup(repository: SiteRepository, entries: Iterable[FileEntry], **summary: Any) -> CommittedBackup:
    """Commit a backup of files that has these entries, ascending."""
    with repository.begin(Component.FILES, window=None, initiator=TESTER) as attempt:
        stream = attempt.write_stream(STREAM, BytesIO(encode_entries(entries)))
        return attempt.commit(a_draft(streams=(stream,), window=None, summary=summary))
