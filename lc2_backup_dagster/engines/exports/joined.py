"""Several exports as one, whose documents must not have the same paths."""

from collections.abc import Iterator, Mapping
from typing import Any

from lc2_backup_dagster.engines.exports.document import Document
from lc2_backup_dagster.engines.exports.ports import ExportFacts, ExportSource
from lc2_backup_dagster.model.errors import ExportInvalid


class JoinedSource:
    """An ``ExportSource`` over several named ones.

    Args:
        sources: by a name for messages, in the order in which they are read.
    """

    def __init__(self, sources: Mapping[str, ExportSource]) -> None:
        self._sources = dict(sources)

    def documents(self) -> Iterator[Document]:
        """Yield the documents of all.

        Raises:
            ExportInvalid: two of them have a document of one path.
            BackupError: as the sources.
        """
        owner: dict[str, str] = {}
        for name, source in self._sources.items():
            for document in source.documents():
                if (other := owner.setdefault(document.path, name)) != name:
                    raise ExportInvalid(
                        f"{other} and {name} both have a document {document.path}",
                        hint="let each of them write what the others do not",
                        path=document.path,
                    )
                yield document

    def facts(self) -> ExportFacts:
        """Return the facts of all."""
        details: dict[str, Any] = {}
        unexported: list[tuple[str, str]] = []
        for source in self._sources.values():
            facts = source.facts()
            details |= facts.details
            unexported += facts.unexported
        return ExportFacts(details, tuple(unexported))
