"""The object that says: this bucket holds a repository, of this format, with this id."""

import uuid

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.clock import Clock, to_text
from lc2_backup_dagster.model.errors import (
    AlreadyExists,
    FormatNotSupported,
    LogCorrupt,
    ObjectNotFound,
    RecoveryPointNotFound,
)
from lc2_backup_dagster.repository import canonical, layout

_WHAT = "LC2 backup repository"


def open_marker(store: ObjectStore, *, clock: Clock, create: bool) -> str:
    """Return the repository's id; make the repository when there is none and ``create`` says so.

    Raises:
        RecoveryPointNotFound: no repository here, and ``create`` is not set.
        FormatNotSupported: written in a newer format.
        LogCorrupt: the marker is unreadable, or gone while backups exist.
    """
    try:
        data = store.get(layout.MARKER)
    except ObjectNotFound:
        if next(store.list("log/"), None) is not None:
            raise LogCorrupt(
                f"{store.url} holds a commit log but no {layout.MARKER}",
                hint="restore that object from the older versions of the bucket; nothing was written",
            ) from None
        if not create:
            raise RecoveryPointNotFound(
                f"{store.url} holds no repository", hint="no backup was made here yet; check bucket and prefix"
            ) from None
        return _create(store, clock)
    try:
        fields = canonical.decode_object(data)
        what, version, repository_id = fields["what"], fields["format"], fields["repository_id"]
    except (ValueError, KeyError) as error:
        raise LogCorrupt(f"{layout.MARKER} in {store.url} is unreadable: {error}") from error
    if what != _WHAT:
        raise LogCorrupt(f"{layout.MARKER} in {store.url} does not describe a repository of ours")
    if version != layout.FORMAT_VERSION:
        raise FormatNotSupported(f"{store.url} holds a repository of format {version}", hint="use a newer lc2-backup")
    return str(repository_id)


def _create(store: ObjectStore, clock: Clock) -> str:
    marker = {
        "what": _WHAT,
        "format": layout.FORMAT_VERSION,
        "repository_id": str(uuid.uuid4()),
        "created": to_text(clock.now()),
    }
    try:
        store.put(layout.MARKER, canonical.encode(marker))
    except AlreadyExists:
        return open_marker(store, clock=clock, create=False)  # somebody else made it at the same moment
    return str(marker["repository_id"])
