"""Put planned objects into a store, and know at the next call that all of them were put.

Uploads run in parallel with bounded memory (about 2 MiB per worker). A killed seed goes on where it was; when all is
there a marker says so, and later calls do nothing: files deleted since then do not come back without their rows.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.demo.seed.file_content import file_content
from lc2_backup_dagster.demo.seed.library_plan import PlannedObject
from lc2_backup_dagster.model.errors import ObjectNotFound, TargetNotEmpty

MARKER_KEY = "lc2-demo-seed.json"


@dataclass(frozen=True, slots=True)
class LibrarySeed:
    """What a seed of a bucket found and did.

    Attributes:
        objects: number of planned objects; 0 when the marker was there and nothing was looked at.
        plain_bytes: their size together.
        written: how many were missing and are there now.
    """

    objects: int
    plain_bytes: int
    written: int


def seed_objects(
    store: ObjectStore,
    plan: Iterable[PlannedObject],
    *,
    marker: bytes,
    below: str = "",
    workers: int = 8,
    progress: Callable[[PlannedObject], None] | None = None,
) -> LibrarySeed:
    """Put every planned object that is missing, then the marker.

    Args:
        store: the bucket, or a prefix of one.
        plan: what to put; not looked at when the marker is there.
        marker: tells this seed from others.
        below: what all planned keys begin with.
        workers: uploads at once.
        progress: told each object after it was written, from this thread.

    Raises:
        TargetNotEmpty: the store holds another seed, or an object of another size under a planned key.
    """
    try:
        found = store.get(MARKER_KEY)
    except ObjectNotFound:
        pass
    else:
        if found != marker:
            raise TargetNotEmpty(
                f"{store.url} holds another seed: {found[:200]!r}", hint="empty the bucket, or ask for the same scale"
            )
        return LibrarySeed(0, 0, 0)
    present = {info.key: info.size_bytes for info in store.list(below)}
    objects = plain_bytes = written = 0
    with ThreadPoolExecutor(workers, thread_name_prefix="seed") as pool:
        pending: set[Future[PlannedObject]] = set()
        try:
            for planned in plan:
                objects += 1
                plain_bytes += planned.size_bytes
                if _is_present(store, planned, present):
                    continue
                written += 1
                if len(pending) >= 4 * workers:
                    pending = _collect(pending, progress)
                pending.add(pool.submit(_write, store, planned))
            while pending:
                pending = _collect(pending, progress)
        finally:
            for future in pending:
                future.cancel()
    # Some stores guess a content type from the name: one of our own is the same everywhere.
    store.put_stream(MARKER_KEY, [marker], size_bytes=len(marker), content_type="application/json")
    return LibrarySeed(objects, plain_bytes, written)


def _is_present(store: ObjectStore, planned: PlannedObject, present: dict[str, int]) -> bool:
    size = present.get(planned.key)
    if size is not None and size != planned.size_bytes:
        raise TargetNotEmpty(
            f"{planned.key} in {store.url} has {size} bytes, the seed's has {planned.size_bytes}",
            hint="empty the bucket, or seed another one",
        )
    return size is not None


def _collect(
    pending: set[Future[PlannedObject]], progress: Callable[[PlannedObject], None] | None
) -> set[Future[PlannedObject]]:
    done, left = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        planned = future.result()
        if progress is not None:
            progress(planned)
    return left


def _write(store: ObjectStore, planned: PlannedObject) -> PlannedObject:
    put_planned(store, planned)
    return planned


def put_planned(store: ObjectStore, planned: PlannedObject) -> None:
    """Write one planned object with its content type and metadata; the key must be free."""
    store.put_stream(
        planned.key,
        file_content(planned),
        size_bytes=planned.size_bytes,
        content_type=planned.content_type,
        metadata=planned.metadata,
    )
