"""Do the rows that name files and the files that were captured fit together: a merge of two sorted streams.

A reference usually names the key itself. Where an application appends a suffix to the stored key that its row does
not have (Liferay appends ``~<storeUUID>``), ``base_key`` removes it from both sides; a reference that carries the
suffix itself asks for exactly that file, one without it is satisfied by any file of the same base key.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Protocol

from lc2_backup_dagster.clouds.store import PosixKind
from lc2_backup_dagster.engines.files.scratch import Row, RowSorter
from lc2_backup_dagster.model.application import FileReference
from lc2_backup_dagster.model.errors import ConfigurationError

_SAMPLES = 100


class MatchedFile(Protocol):
    """What is asked of a file: entries of a backup have it, and objects of a store."""

    @property
    def key(self) -> str:
        """Its key."""
        ...

    @property
    def size_bytes(self) -> int:
        """Length of its content."""
        ...

    @property
    def kind(self) -> PosixKind:
        """Whether it is a file, a link or a folder."""
        ...


@dataclass(slots=True)
class RowMatch:
    """How rows and files fit.

    Attributes:
        rows: references that were read.
        files: files and links that were read; folders are nothing that a row could mean.
        dangling_count: references whose file is not there.
        dangling: the first hundred, ``key (row id)``.
        orphan_count: files that no row names and that the application does not generate by itself.
        orphans: the first hundred keys.
        size_mismatch_count: references whose file has another size.
        size_mismatches: the first hundred, ``key (row id): row size, file size``.
        link_count: references whose file is a symbolic link: it is there, its content is wherever the link leads.
        links: the first hundred, ``key (row id)``. A link that no row names is no orphan.
    """

    rows: int = 0
    files: int = 0
    dangling_count: int = 0
    dangling: list[str] = field(default_factory=list[str])
    orphan_count: int = 0
    orphans: list[str] = field(default_factory=list[str])
    size_mismatch_count: int = 0
    size_mismatches: list[str] = field(default_factory=list[str])
    link_count: int = 0
    links: list[str] = field(default_factory=list[str])

    @property
    def complete(self) -> bool:
        """Whether every row has its file, in its size. Orphans harm nobody."""
        return self.dangling_count == 0 and self.size_mismatch_count == 0


def match_rows(
    references: Iterable[FileReference],
    entries: Iterable[MatchedFile],
    *,
    is_generated: Callable[[str], bool] | None = None,
    on_orphan: Callable[[str], None] = lambda key: None,
    base_key: Callable[[str], str] | None = None,
    scratch: Path | None = None,
) -> RowMatch:
    """Compare the rows that name files with the files of a backup, in bounded memory.

    Args:
        references: in ascending byte order of their keys (in SQL: ``ORDER BY key COLLATE "C"``), a key perhaps several
            times. With ``base_key`` any order will do: without the suffixes the order is another one anyway, so both
            sides are sorted here, on disk if need be.
        entries: ascending.
        is_generated: says which files the application makes again by itself; they are never orphans.
        on_orphan: told every orphan; without ``base_key`` in ascending order.
        base_key: gives the key without its suffix, or the key itself.
        scratch: folder for what does not fit into memory.

    Raises:
        ConfigurationError: the references are not in byte order.
    """
    match = RowMatch()
    with ExitStack() as stack:
        rows: Iterator[Row] = ([each.key, each.key, each.row_id, each.size_bytes] for each in references)
        files: Iterator[Row] = (
            [each.key, each.key, None if each.kind is PosixKind.SYMLINK else each.size_bytes]
            for each in entries
            if each.kind is not PosixKind.DIRECTORY
        )
        if base_key is not None:
            rows = _sorted_by_base(rows, base_key, stack.enter_context(RowSorter(scratch)))
            files = _sorted_by_base(files, base_key, stack.enter_context(RowSorter(scratch)))
        for wanted, found in _joined(_grouped(rows, "the references"), _grouped(files, "the entries")):
            _compare(match, wanted, found, is_generated, on_orphan)
    return match


def _sorted_by_base(rows: Iterator[Row], base_key: Callable[[str], str], sorter: RowSorter) -> Iterator[Row]:
    for row in rows:
        sorter.add([base_key(row[0]), *row[1:]])
    return sorter.rows()


def _grouped(rows: Iterator[Row], what: str) -> Iterator[tuple[str, list[Row]]]:
    last: str | None = None
    for key, group in groupby(rows, key=itemgetter(0)):
        if last is not None and key < last:
            raise ConfigurationError(
                f"{what} are not in byte order: {key!r} after {last!r}",
                hint='order them in the query: ORDER BY … COLLATE "C"',
            )
        last = key
        yield key, list(group)


def _joined(
    left: Iterator[tuple[str, list[Row]]], right: Iterator[tuple[str, list[Row]]]
) -> Iterator[tuple[list[Row], list[Row]]]:
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[0] < other[0]):
            assert one is not None
            yield one[1], []
            one = next(left, None)
        elif one is None or other[0] < one[0]:
            yield [], other[1]
            other = next(right, None)
        else:
            yield one[1], other[1]
            one, other = next(left, None), next(right, None)


def _compare(
    match: RowMatch,
    wanted: list[Row],
    found: list[Row],
    is_generated: Callable[[str], bool] | None,
    on_orphan: Callable[[str], None],
) -> None:
    match.rows += len(wanted)
    match.files += len(found)
    named: set[str] = set()
    for base, key, row_id, size_bytes in wanted:
        exact = [file for file in found if file[1] == key]
        fitting = exact or (found if key == base else [])
        named.update(file[1] for file in fitting)
        if not fitting:
            match.dangling_count += 1
            _keep(match.dangling, f"{key} ({row_id})")
        elif any(file[2] is None for file in fitting):
            match.link_count += 1
            _keep(match.links, f"{key} ({row_id})")
        elif size_bytes is not None and all(file[2] != size_bytes for file in fitting):
            match.size_mismatch_count += 1
            _keep(match.size_mismatches, f"{key} ({row_id}): row {size_bytes}, file {fitting[0][2]}")
    for _, key, size_bytes in found:
        if size_bytes is not None and key not in named and not (is_generated and is_generated(key)):
            match.orphan_count += 1
            _keep(match.orphans, key)
            on_orphan(key)


def _keep(samples: list[str], text: str) -> None:
    if len(samples) < _SAMPLES:
        samples.append(text)
