"""The versions that a source keeps of some of its files, in the order of their keys, in bounded memory.

Few files are asked for one by one, some at once. Of many all versions of the source are listed once, and sorted on
local disk where need be: a request for each would take hours.
"""

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import groupby, islice
from pathlib import Path

from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore, ObjectVersion
from lc2_backup_dagster.engines.files.capture.source import Patience
from lc2_backup_dagster.engines.files.capture.versions import version_of_row, version_row
from lc2_backup_dagster.engines.files.keeping.choice import best_version
from lc2_backup_dagster.engines.files.keeping.wanted import WantedFile
from lc2_backup_dagster.engines.files.scratch import RowSorter

ASKED_SINGLY = 1000
"""Files up to which each is asked for; a page of a listing holds as many versions."""
_AT_ONCE = 64


def each_singly(
    wanted: Iterable[WantedFile], store: ObjectStore, moment: datetime, *, patience: Patience, threads: int
) -> Generator[ObjectInfo]:
    """Yield the best version of every file that has one, having asked for each.

    Raises:
        AccessDenied: versions may not be listed.
        StoreUnavailable: the source stayed away; nothing is concluded from that (L-28).
    """

    def ask(file: WantedFile) -> ObjectInfo | None:
        return patience.through_outages(lambda: best_version(file, _of_key(store, file.key), moment))

    files = iter(wanted)
    with ThreadPoolExecutor(threads, thread_name_prefix="versions") as pool:
        while several := list(islice(files, _AT_ONCE)):
            yield from (best for best in pool.map(ask, several) if best is not None)


def all_at_once(
    wanted: Iterable[WantedFile],
    store: ObjectStore,
    moment: datetime,
    *,
    scratch: Path | None,
    run_rows: int = 50_000,
) -> Generator[ObjectInfo]:
    """Yield the best version of every file that has one, out of one listing of all versions.

    Args:
        wanted: the files, ascending.
        store: the source.
        moment: when the rows were read.
        scratch: folder for what does not fit into memory.
        run_rows: versions kept in memory.

    Raises:
        AccessDenied: versions may not be listed.
        StoreUnavailable: the listing broke off.
    """
    with RowSorter(scratch, run_rows=run_rows) as sorter:
        for found in store.list_versions():
            if not found.is_delete_marker:
                sorter.add(version_row(found))
        groups = groupby(map(version_of_row, sorter.rows()), key=lambda found: found.info.key)
        here = next(groups, None)
        for file in wanted:
            while here is not None and here[0] < file.key:
                here = next(groups, None)
            if here is not None and here[0] == file.key:
                best = best_version(file, here[1], moment)
                if best is not None:
                    yield best


def _of_key(store: ObjectStore, key: str) -> Iterator[ObjectVersion]:
    for found in store.list_versions(key):
        if found.info.key == key:
            yield found
        elif store.capabilities.ordered_listing:
            return  # keys that begin with this one lie behind it
