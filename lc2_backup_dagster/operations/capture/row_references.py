"""The rows that name files, as they were stored with a dump: a stream in the order of the files' keys."""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

from lc2_backup_dagster.engines.files.manifest.lines import read_lines
from lc2_backup_dagster.engines.postgres.dump.capture import REFERENCES_STREAM
from lc2_backup_dagster.model.application import FileReference
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.parts import SupportsRead
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
        yield (each for each in read_references(reader) if is_selected(each.key))


def read_references(source: SupportsRead) -> Iterator[FileReference]:
    """Read lines of JSON, each a row.

    Raises:
        ManifestCorrupt: the last line has no end.
    """
    for line in read_lines(source, REFERENCES_STREAM):
        row = json.loads(line)
        yield FileReference(row["key"], row["row_id"], row["size_bytes"])
