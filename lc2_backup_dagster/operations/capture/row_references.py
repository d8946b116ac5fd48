"""The rows that name files, as they were stored with a dump: a stream in the order of the files' keys."""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

from lc2_backup_dagster.engines.postgres.dump.capture import REFERENCES_STREAM
from lc2_backup_dagster.model.application import FileReference
from lc2_backup_dagster.model.errors import ManifestCorrupt
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.reading import StreamReader
from lc2_backup_dagster.repository.site import SiteRepository


def has_references(dump: Manifest) -> bool:
    """Say whether rows were stored with a dump: not every application has any that name files."""
    return REFERENCES_STREAM in dump.streams


@contextmanager
def row_references(
    repository: SiteRepository, dump: Manifest, *, is_selected: Callable[[str], bool]
) -> Generator[Iterator[FileReference]]:
    """Open the rows that the dump's snapshot named, ascending by key.

    Args:
        repository: the site's repository.
        dump: manifest of the dump.
        is_selected: says which files are backed up at all: one that the site leaves out on purpose is not missing.

    Raises:
        ManifestCorrupt: while reading: the stream is not what was promised.
    """
    with repository.open_stream(dump, REFERENCES_STREAM) as reader:
        yield (each for each in _references(reader) if is_selected(each.key))


def _references(reader: StreamReader) -> Iterator[FileReference]:
    rest = b""
    while piece := reader.read(1 << 20):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            row = json.loads(line)
            yield FileReference(row["key"], row["row_id"], row["size_bytes"])
    if rest:
        raise ManifestCorrupt(f"{REFERENCES_STREAM} of a dump ends in the middle of a line")
