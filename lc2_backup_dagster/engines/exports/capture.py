"""Capture an export: take an application's documents, prove that they can be used, store them sorted with an index."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lc2_backup_dagster.engines.exports.canonical_json import canonical_json, parse_json
from lc2_backup_dagster.engines.exports.document import (
    DOCUMENT_LIMIT_BYTES,
    Document,
    DocumentKind,
    check_path,
    kind_of,
)
from lc2_backup_dagster.engines.exports.index import INDEX_STREAM, TAR_STREAM, IndexEntry
from lc2_backup_dagster.engines.exports.ports import ExportSource, OpenStream, Progress
from lc2_backup_dagster.engines.exports.sorting import DocumentSorter
from lc2_backup_dagster.engines.exports.tar_format import END, member_header, padding
from lc2_backup_dagster.engines.exports.yaml_document import check_yaml
from lc2_backup_dagster.model.clock import Clock, SystemClock
from lc2_backup_dagster.model.errors import ExportInvalid
from lc2_backup_dagster.model.window import Moment
from lc2_backup_dagster.repository.parts import Stream

_SAMPLE = 5


@dataclass(frozen=True, slots=True)
class CapturedExport:
    """A finished capture.

    Attributes:
        streams: ``export.tar`` and ``export.index``.
        documents: how many there are.
        size_bytes: length of their contents together.
        sha256: of paths and contents; equal for equal exports, whatever day they are of.
        moment: when the application was asked for the first document, and when it had given the last.
        details: what the application told, for the manifest.
        unexported: what it could not export, ``(name, reason)``.
    """

    streams: tuple[Stream, ...]
    documents: int
    size_bytes: int
    sha256: str
    moment: Moment
    details: Mapping[str, Any]
    unexported: tuple[tuple[str, str], ...]

    @property
    def partial(self) -> bool:
        """Whether something is missing (L-22)."""
        return bool(self.unexported)


def capture_export(
    source: ExportSource,
    *,
    write: OpenStream,
    scratch: Path | None = None,
    clock: Clock | None = None,
    required: Collection[str] = (),
    document_limit_bytes: int = DOCUMENT_LIMIT_BYTES,
    progress: Progress | None = None,
) -> CapturedExport:
    """Store the documents of an export.

    Nothing is written before the application has given its last document. JSON documents are written in canonical form,
    so that unchanged content is byte-equal between days; YAML must parse and is kept byte for byte, like all others.

    Args:
        source: the application's documents.
        write: opens the streams, like ``Attempt.stream_writer``.
        scratch: folder for documents that wait; they need about a fifth of their size there.
        clock: tells the time of the capture; this machine's when None.
        required: paths without which the export is worth nothing.
        document_limit_bytes: longest document that is taken.
        progress: told how far it is.

    Raises:
        ExportInvalid: no documents at all, a required one is missing, or one cannot be kept; the message names it.
        StorageFull: the scratch folder is full.
        BackupError: what the source and the repository raise.
    """
    clock = clock or SystemClock()
    missing = set(required)
    started = clock.now()
    with DocumentSorter(scratch) as sorter:
        for document in source.documents():
            sorter.add(_usable(document, document_limit_bytes))
            missing.discard(document.path)
            if progress is not None:
                progress(sorter.count, sorter.size_bytes)
        moment = Moment(started, clock.now())
        facts = source.facts()
        _require_documents(sorter.count, missing)
        streams, digest = _store(sorter, write)
        return CapturedExport(
            streams=streams,
            documents=sorter.count,
            size_bytes=sorter.size_bytes,
            sha256=digest,
            moment=moment,
            details=facts.details,
            unexported=facts.unexported,
        )


def _usable(document: Document, limit_bytes: int) -> Document:
    check_path(document.path)
    if len(document.content) > limit_bytes:
        raise ExportInvalid(
            f"document {document.path} has {len(document.content)} bytes, more than {limit_bytes}",
            hint="leave it out of the export, or split it",
            path=document.path,
        )
    if document.is_canonical:
        return document
    try:
        kind = kind_of(document.path)
        if kind is DocumentKind.JSON:
            return replace(document, content=canonical_json(parse_json(document.content)), is_canonical=True)
        if kind is DocumentKind.YAML:
            check_yaml(document.content)
    except ValueError as error:
        raise ExportInvalid(f"document {document.path} is unreadable: {error}", path=document.path) from error
    return document


def _require_documents(count: int, missing: Collection[str]) -> None:
    if not count:
        raise ExportInvalid("the export is empty", hint="an application without configuration has no such component")
    if missing:
        named = ", ".join(sorted(missing)[:_SAMPLE])
        raise ExportInvalid(
            f"the export is incomplete: {len(missing)} of the documents it must have are missing: {named}",
            hint="look at what the application wrote when it exported",
        )


def _store(sorter: DocumentSorter, write: OpenStream) -> tuple[tuple[Stream, ...], str]:
    digest = hashlib.sha256()
    position = 0
    with write(TAR_STREAM) as tar, write(INDEX_STREAM) as index:
        for document in sorter.sorted():
            size = len(document.content)
            header = member_header(document.path, size)
            filler = padding(size)
            for piece in (header, document.content, filler):
                tar.write(piece)
            index.write(IndexEntry(document.path, size, document.sha256, position + len(header)).to_line())
            digest.update(f"{document.sha256} {document.path}\n".encode())
            position += len(header) + size + len(filler)
        tar.write(END)
    return (tar.stream, index.stream), digest.hexdigest()
