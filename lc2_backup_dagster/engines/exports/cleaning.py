"""An export without what must not be stored: excluded paths, and secrets inside of documents."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from lc2_backup_dagster.engines.exports.document import Document
from lc2_backup_dagster.engines.exports.ports import ExportFacts, ExportSource
from lc2_backup_dagster.model.application import CleanDocument

_NAMED = 100

Clean = Callable[[str, bytes], CleanDocument]
"""Leaves secrets out of a document, from its path and content."""


class CleanedSource:
    """An ``ExportSource`` over another one.

    Args:
        source: the documents as they are.
        selects: says which paths are taken at all.
        clean: leaves secrets out.
    """

    def __init__(self, source: ExportSource, *, selects: Callable[[str], bool], clean: Clean) -> None:
        self._source, self._selects, self._clean = source, selects, clean
        self._excluded = 0
        self._left_out: dict[str, list[str]] = {}
        self._left_out_count = 0

    def documents(self) -> Iterator[Document]:
        """Yield what may be stored.

        Raises:
            BackupError: as the source.
        """
        for document in self._source.documents():
            if not self._selects(document.path):
                self._excluded += 1
                continue
            cleaned = self._clean(document.path, document.content)
            self._note(document.path, cleaned)
            if cleaned.content is None:
                continue
            yield document if cleaned.content == document.content else replace(document, content=cleaned.content)

    def facts(self) -> ExportFacts:
        """Return the source's facts, and the names of what was left out: whoever restores must supply it."""
        facts = self._source.facts()
        told: dict[str, Any] = {**facts.details}
        if self._excluded:
            told["excluded_documents"] = self._excluded
        if self._left_out_count:
            told["secrets_left_out"] = {"count": self._left_out_count, "names": self._left_out}
        return ExportFacts(told, facts.unexported)

    def _note(self, path: str, cleaned: CleanDocument) -> None:
        if not cleaned.left_out:
            return
        self._left_out_count += len(cleaned.left_out)
        room = _NAMED - sum(len(names) for names in self._left_out.values())
        if room > 0:
            self._left_out[path] = list(cleaned.left_out[:room])
