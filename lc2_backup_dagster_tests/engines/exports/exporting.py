"""Exports made of dictionaries, and kept in a repository."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lc2_backup_dagster.engines.exports.capture import CapturedExport, capture_export
from lc2_backup_dagster.engines.exports.document import Document
from lc2_backup_dagster.engines.exports.ports import ExportFacts
from lc2_backup_dagster.engines.exports.stored import StoredExport
from lc2_backup_dagster.model.site import BackupKind, Component, SiteId
from lc2_backup_dagster.repository.site import SiteRepository
from lc2_backup_dagster_tests.builders import TESTER, a_draft

SITE = SiteId("retail", "bloomreach")


class DocumentsOf:
    """The documents of a mapping, in its order."""

    def __init__(self, documents: Mapping[str, bytes], facts: ExportFacts | None = None) -> None:
        self._documents, self._facts = documents, facts or ExportFacts()

    def documents(self) -> Iterator[Document]:
        for path, content in self._documents.items():
            yield Document(path, content)

    def facts(self) -> ExportFacts:
        return self._facts


def keep(
    repository: SiteRepository, documents: Mapping[str, bytes], *, scratch: Path | None = None, **options: Any
) -> StoredExport:
    return keep_source(repository, DocumentsOf(documents), scratch=scratch, **options)[0]


def keep_source(
    repository: SiteRepository, source: Any, *, scratch: Path | None = None, **options: Any
) -> tuple[StoredExport, CapturedExport]:
    with repository.begin(Component.CONFIGURATION, window=None, initiator=TESTER) as attempt:
        captured = capture_export(source, write=attempt.stream_writer, scratch=scratch, **options)
        draft = a_draft(
            kind=BackupKind.FULL,
            moment=captured.moment,
            window=None,
            streams=captured.streams,
            details=dict(captured.details),
        )
        backup = attempt.commit(draft)
    return StoredExport(repository, repository.manifest(backup.backup_id)), captured
