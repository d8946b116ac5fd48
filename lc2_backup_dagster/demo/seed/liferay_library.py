"""Seed an object store with the document library that the seeded database's rows name."""

import json
from collections.abc import Callable

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.demo.seed.library_plan import PlannedObject, plan_objects
from lc2_backup_dagster.demo.seed.objects import LibrarySeed, seed_objects
from lc2_backup_dagster.demo.seed.scale import COMPANY_ID, LiferayScale


def seed_liferay_library(
    store: ObjectStore,
    scale: LiferayScale,
    *,
    workers: int = 8,
    progress: Callable[[PlannedObject], None] | None = None,
) -> LibrarySeed:
    """Put every planned object that is missing; see ``seed_objects``.

    Args:
        store: the bucket of the library, or a prefix of one.
        scale: what to make; the same as the database's.
        workers: uploads at once.
        progress: told each object after it was written, from this thread.

    Raises:
        TargetNotEmpty: the store holds another seed, or an object of another size under a planned key.
    """
    return seed_objects(
        store,
        plan_objects(scale),
        marker=_marker(scale),
        below=f"{COMPANY_ID}/",
        workers=workers,
        progress=progress,
    )


def _marker(scale: LiferayScale) -> bytes:
    told = {"seed": scale.seed, "documents": scale.documents, "large_file_bytes": scale.large_file_bytes}
    return json.dumps(told, sort_keys=True).encode()
