"""What a restore's target holds beyond the backup: found by a merge, deleted only when all else was done."""

from collections.abc import Callable, Iterable, Iterator

from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore, PosixKind
from lc2_backup_dagster.engines.files.capture.counts import Sampled
from lc2_backup_dagster.model.errors import TargetNotEmpty
from lc2_backup_dagster.repository.layout import MARKER


def extras(
    keys: Iterable[str], existing: Iterable[ObjectInfo], *, may_go: Callable[[str], bool]
) -> Iterator[ObjectInfo]:
    """Yield the objects that no key of the backup names; a folder after what was in it, and only if all of that goes.

    Args:
        keys: of the backup, ascending.
        existing: what the target holds, ascending.
        may_go: says of a key whether it is one that a backup would have held.
    """
    wanted = iter(keys)
    key = next(wanted, None)
    above: list[ObjectInfo] = []  # folders that go unless something in them stays
    for found in existing:
        while above and not found.key.startswith(above[-1].key):
            yield above.pop()
        while key is not None and key < found.key:
            key = next(wanted, None)
        is_folder = found.kind is PosixKind.DIRECTORY
        is_needed = key == found.key or (is_folder and key is not None and key.startswith(found.key))
        if is_needed or not may_go(found.key):
            above.clear()
        elif is_folder:
            above.append(found)
        else:
            yield found
    yield from reversed(above)


def refuse_repository(target: ObjectStore, existing: Iterable[ObjectInfo]) -> None:
    """Refuse to delete anything in a place that holds backups.

    Raises:
        TargetNotEmpty: one of the objects is the marker of a repository.
    """
    for found in existing:
        if found.key.rpartition("/")[2] == MARKER:
            raise TargetNotEmpty(
                f"{target.url} holds a backup repository, '{found.key}'; nothing is deleted there",
                hint="restore to another place",
                key=found.key,
            )


def delete_objects(
    target: ObjectStore,
    found: Iterable[ObjectInfo],
    deleted: Sampled,
    *,
    rehearse: bool,
    on_delete: Callable[[str], None] = lambda key: None,
) -> int:
    """Delete objects, or with ``rehearse`` only count them; return their size together.

    Args:
        target: where.
        found: what to delete.
        deleted: counted up on the way.
        rehearse: delete nothing.
        on_delete: told the key of every one that is no folder, before it goes.
    """
    size_bytes = 0

    def told() -> Iterator[str]:
        nonlocal size_bytes
        for each in found:
            deleted.add(each.key)
            size_bytes += each.size_bytes
            if each.kind is not PosixKind.DIRECTORY:
                on_delete(each.key)
            yield each.key

    if rehearse:
        for _ in told():
            pass
    else:
        target.delete(told())
    return size_bytes
