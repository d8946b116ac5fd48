"""The restore kit: what a person needs to read the bucket when this service is gone, kept in the bucket itself.

``restore.py``, ``tree.py`` and ``wal.py`` are no modules of the package: they are put beside the backups as they are
and import nothing of ours.
"""

from importlib import resources

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.errors import AlreadyExists
from lc2_backup_dagster.repository import layout

_PACKAGE = "lc2_backup_dagster.repository"


def kit_files() -> dict[str, bytes]:
    """Return the kit: name → content."""
    repository = resources.files(_PACKAGE)
    names = ("README.txt", "restore.py", "tree.py", "vectors.json", "wal.py")
    files = {name: repository.joinpath("kit", name) for name in names}
    files["FORMAT.md"] = repository.joinpath("FORMAT.md")
    return {name: file.read_bytes() for name, file in sorted(files.items())}


def put_kit(store: ObjectStore) -> list[str]:
    """Put the kit into a repository and return the keys that were not there yet.

    Idempotent and create-only: a kit that is there stays, also under object lock; what a killed process left out is
    added. Any kit of a format reads every repository of that format, so an older one is as good.

    Raises:
        BackupError: the store cannot be written.
    """
    there = {item.key for item in store.list(layout.kit_prefix())}
    written: list[str] = []
    for name, content in kit_files().items():
        key = f"{layout.kit_prefix()}{name}"
        if key in there:
            continue
        try:
            store.put(key, content)
        except AlreadyExists:
            continue  # another first backup put it meanwhile
        written.append(key)
    return written
