"""Results of verifications that newer ones have taken in: nobody reads them any more."""

from collections.abc import Iterator
from datetime import datetime

from lc2_backup_dagster.engines.files.verify.proof_sets import open_proofs
from lc2_backup_dagster.repository.layout import verified_prefix
from lc2_backup_dagster.repository.site import SiteRepository


def superseded_results(repository: SiteRepository, *, newest: datetime) -> Iterator[str]:
    """Yield the objects of verifications all of whose results newer ones contain.

    A verification that runs beside this reads what it takes in when it begins. So only folders go all of whose objects
    are older than any verification lasts; and of a folder that is half gone the rest still counts as taken in.

    Args:
        repository: the site's.
        newest: nothing that was written later goes.

    Raises:
        StoreUnavailable: the store stayed away.
        FormatNotSupported: a newer version wrote results.
    """
    with open_proofs(repository, scratch=None, written_down=False) as kept:
        over = sorted(kept.over)
    for run_id in over:
        folder = f"{verified_prefix(repository.site)}{run_id}/"
        found = list(repository.store.list(folder))
        if any(each.modified >= newest for each in found):
            continue
        yield from (each.key for each in found)
