"""Compare the files of two backups as streams."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager

from lc2_backup_dagster.engines.files.manifest.differences import Difference, DifferenceTotals, differences
from lc2_backup_dagster.operations.browse.stored_files import stored_lines
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.site import SiteRepository


@contextmanager
def compare_files(
    repository: SiteRepository,
    old: CommittedBackup,
    new: CommittedBackup,
    totals: DifferenceTotals,
    *,
    prefix: str = "",
    members: tuple[Iterable[str], Iterable[str]] = ((), ()),
) -> Generator[Iterator[Difference]]:
    """Open what differs from one files backup to another, ascending by key, read as a stream in fixed memory.

    Args:
        repository: the site's repository.
        old: the first backup.
        new: the second one.
        totals: counted up while the differences are read.
        prefix: only keys that begin with it.
        members: ids that a recovery point binds whose files are meant, of either side; none for the backup itself.

    Raises:
        BackupError: one of the lists cannot be read.
    """
    source_id = old.summary.get("source_id")
    with (
        stored_lines(repository, old, prefix=prefix, members=members[0]) as before,
        stored_lines(repository, new, prefix=prefix, members=members[1]) as after,
    ):
        same_source = source_id is not None and source_id == new.summary.get("source_id")
        yield differences(before, after, totals, etags_comparable=same_source)
