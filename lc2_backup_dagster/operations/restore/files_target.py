"""Where restored files go: the store, its name for a confirmation, and places that nothing may be lost in."""

from pathlib import Path

from lc2_backup_dagster.clouds.prefixed import PrefixedStore, unwrapped
from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.errors import AccessDenied, ConfigurationError
from lc2_backup_dagster.operations.restore.request import RestoreRequest
from lc2_backup_dagster.operations.site_context import SiteContext


def target_prefix(request: RestoreRequest) -> str:
    """Return the prefix below the bucket or directory."""
    if request.files_prefix is not None:
        return request.files_prefix
    return "" if request.files_directory else f"{request.backup_id}/"


def target_name(context: SiteContext, request: RestoreRequest) -> str:
    """Return the target as a person confirms it: bucket or directory, and the prefix behind a slash."""
    place = str(request.files_directory or request.files_bucket or context.restore.files_bucket or "no bucket")
    return f"{place.rstrip('/')}/{target_prefix(request)}"


def open_target(context: SiteContext, request: RestoreRequest, *, create: bool) -> ObjectStore:
    """Open the store that the files go to.

    Args:
        context: the site.
        request: the wish.
        create: make a directory that the request names when it is missing.

    Raises:
        ConfigurationError: there is no place, or it cannot be one.
    """
    prefix = target_prefix(request)
    if request.files_directory is None:
        return context.restore.open_files_target(request.files_bucket, prefix)
    if request.files_bucket is not None:
        raise ConfigurationError("files go to a bucket or to a directory, not to both", hint="name one of them")
    store = context.restore.open_folder(request.files_directory, create)
    return PrefixedStore(store, prefix) if prefix else store


def is_new_directory(path: Path | None) -> bool:
    """Say whether files go to a directory that has to be made first, and can be.

    Raises:
        ConfigurationError: it is not absolute, or there is nothing to make it in.
        AccessDenied: this account may not make it.
    """
    if path is None:
        return False
    if not path.is_absolute():
        raise ConfigurationError(f"the directory '{path}' is not absolute", hint="begin it with /")
    try:
        if path.exists():
            return False
        if not path.parent.is_dir():
            raise ConfigurationError(f"there is no directory {path.parent}", hint="create it first")
    except PermissionError as error:
        raise AccessDenied(f"{path} cannot be looked at: {error.strerror}") from error
    return True


def require_confirmed(context: SiteContext, request: RestoreRequest) -> None:
    """Refuse to lose anything at a target that nobody has named.

    Raises:
        ConfigurationError: files may be lost there, and the confirmation is missing or names another place.
    """
    name = target_name(context, request)
    if request.changes_what_is_there and (request.confirm or "").rstrip("/") != name.rstrip("/"):
        given = f"confirmed was '{request.confirm}'" if request.confirm else "that must be confirmed by its name"
        raise ConfigurationError(
            f"files in {name} would be overwritten or deleted; {given}",
            hint=f"look at the dry run first; then confirm '{name}'",
        )


def refuse_inside_repository(repository: ObjectStore, target: ObjectStore) -> None:
    """Refuse to overwrite or delete where backups lie.

    Raises:
        ConfigurationError: one of the places lies inside the other.
    """
    ours, theirs = _address(repository), _address(target)
    if ours.startswith(theirs) or theirs.startswith(ours):
        raise ConfigurationError(
            f"{target.url} and the repository, {repository.url}, lie in each other; nothing is overwritten there",
            hint="restore to another bucket or directory",
        )


def is_in_place(context: SiteContext, target: ObjectStore) -> bool:
    """Say whether a target is the store that the application takes its files from, at the same prefix."""
    return _address(context.files.store) == _address(target)


def _address(store: ObjectStore) -> str:
    inner, prefix = unwrapped(store)
    return f"{inner.url.rstrip('/')}/{prefix}"
