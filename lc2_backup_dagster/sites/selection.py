"""Which files a site backs up, how each is protected, and how their source is named. Pure."""

import hashlib
import json
from typing import Any

from pydantic import ValidationError

from lc2_backup_dagster.clouds.registry import StoreConfig
from lc2_backup_dagster.engines.files.manifest.entry import Protection
from lc2_backup_dagster.model.application import Application
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.globs import FileSelection, GlobSet
from lc2_backup_dagster.sites.schema import Files


def source_id(files: Files) -> str:
    """Name the source of files: its kind, its bucket or folder, its prefix.

    The address of the server is left out on purpose: a store that moved still holds the same versions of the same
    files, and with another name all of them would be copied again.
    """
    return f"{files.source.store.kind}:{bucket_of(files.source.store)}:{files.source.prefix}"


def file_selection(files: Files, application: Application) -> FileSelection:
    """Return which keys of the source are backed up."""
    excludes = list(application.default_excludes if files.exclude is None else files.exclude)
    if files.exclude_generated_files:
        excludes += application.generated_globs
    excludes += application.forbidden_globs
    includes = application.default_includes if files.include is None else files.include
    return FileSelection(includes=includes, excludes=excludes)


def files_settings(files: Files, application: Application) -> str:
    """Name what decides which files are captured, and how: processes that capture shards of one backup must agree.

    How fast files are moved, and how the library is cut, is not part of it.
    """
    decides = {
        "files": files.model_dump(mode="json", exclude={"max_concurrency", "max_bytes_per_second", "shards"}),
        "application": [
            list(application.default_excludes),
            list(application.generated_globs),
            list(application.default_includes),
            list(application.forbidden_globs),
        ],
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


class ProtectionRules:
    """Says how each key is protected: the first rule that fits, else the site's default."""

    def __init__(self, files: Files) -> None:
        self._default = files.protection
        self._rules = tuple(
            (rule.prefix, GlobSet((rule.glob,) if rule.glob else ()), rule.protection) for rule in files.rules
        )

    def protection_of(self, key: str) -> Protection:
        """Return the protection of one key."""
        for prefix, globs, protection in self._rules:
            if globs.match(key) if prefix is None else key.startswith(prefix):
                return protection
        return self._default


def _place_field(store: StoreConfig) -> str:
    return "bucket" if "bucket" in type(store).model_fields else "path"


def bucket_of(store: StoreConfig) -> str:
    """Return the bucket of a store, or its folder."""
    return str(getattr(store, _place_field(store)))


def in_bucket(store: StoreConfig, bucket: str) -> StoreConfig:
    """Return the same store with another bucket (or folder), checked like one in a site file.

    Raises:
        ConfigurationError: that is no bucket's name, or no absolute path of a folder.
    """
    told: dict[str, Any] = {**store.model_dump(), _place_field(store): bucket}
    try:
        return type(store).model_validate(told)
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"'{bucket}' cannot be the {_place_field(store)} of a restore: {reason}") from error
