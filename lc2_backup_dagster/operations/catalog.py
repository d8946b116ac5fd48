"""The deployment's catalog: opened from the environment, caught up after a commit, made again from the bucket."""

from collections.abc import Mapping, Sequence

from lc2_backup_dagster.model.errors import BackupError, CatalogUnavailable
from lc2_backup_dagster.repository.catalog.catalog import Catalog
from lc2_backup_dagster.repository.site import SiteRepository

CATALOG_VARIABLE = "LC2_BACKUP_CATALOG_URL"


def open_catalog(environment: Mapping[str, str]) -> Catalog | None:
    """Return the catalog, or None where the deployment has none. Connects to nothing yet."""
    url = environment.get(CATALOG_VARIABLE)
    return Catalog(url) if url else None


def catch_up(catalog: Catalog, repository: SiteRepository) -> str | None:
    """Project what the log has and the catalog has not; return a warning instead when the catalog is away.

    A catalog outage never fails a backup: the log is the truth, and the next run catches up.

    Raises:
        LogCorrupt: the log ends before what the catalog has seen: someone cut off its tail.
    """
    try:
        catalog.migrate()
        catalog.project(repository)
    except CatalogUnavailable as error:
        return f"the catalog was not updated, the backup is safe without it: {error}"
    return None


def rebuild_catalog(catalog: Catalog, repositories: Sequence[SiteRepository]) -> dict[str, int]:
    """Forget the projection of these sites and replay their logs; return records by site.

    Raises:
        LogCorrupt: a log is damaged; raised after all other sites were replayed, with notes of further failures.
        CatalogUnavailable: the catalog cannot be reached.
    """
    told: dict[str, int] = {}
    failures: list[BackupError] = []
    for repository in repositories:
        try:
            told[str(repository.site)] = catalog.rebuild([repository])
        except CatalogUnavailable:
            raise
        except BackupError as error:
            failures.append(error)
    if failures:
        first, *others = failures
        for other in others:
            first.add_note(f"and: {other}")
        raise first
    return told
