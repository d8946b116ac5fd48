"""The one place that names the clouds: kind of store → its configuration and how it is opened.

A new cloud is one folder and its lines here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from lc2_backup_dagster.clouds.aws.config import S3Config, open_s3
from lc2_backup_dagster.clouds.config import StoreSettings
from lc2_backup_dagster.clouds.keys import KeyWrapper
from lc2_backup_dagster.clouds.local.config import DirectoryConfig, open_directory
from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.errors import ConfigurationError

StoreConfig = Annotated[S3Config | DirectoryConfig, Field(discriminator="kind")]
"""Any store's configuration, for fields of pydantic models; told apart by ``kind``."""

_OPENERS: Mapping[type[StoreSettings], Callable[[Any, Mapping[str, str]], ObjectStore]] = {
    S3Config: open_s3,
    DirectoryConfig: open_directory,
}


def open_store(config: S3Config | DirectoryConfig, *, environment: Mapping[str, str]) -> ObjectStore:
    """Open the store that a configuration describes; nothing is proved until ``check``.

    Args:
        config: one of the kinds.
        environment: variables that hold the secrets which the configuration names.

    Raises:
        ConfigurationError: a variable or file that it names is missing.
    """
    opener = _OPENERS.get(type(config))
    if opener is None:
        raise ConfigurationError(f"no store is opened by {type(config).__name__}")
    return opener(config, environment)


def open_folder(path: Path, *, create: bool = False) -> ObjectStore:
    """Open a directory of this machine as a store that files are restored into.

    Args:
        path: absolute path.
        create: make it now when it is missing.
    """
    return open_directory(DirectoryConfig(kind="directory", path=str(path), create=create), {}, posix=True)


def open_file_tree(config: S3Config | DirectoryConfig, *, environment: Mapping[str, str]) -> ObjectStore:
    """Open a store whose files are backed up, or that files are restored into.

    A directory then shows and takes links, folders, owners and modes too. A repository in a directory is never opened
    like this: it holds objects.

    Raises:
        ConfigurationError: a variable or file that it names is missing.
    """
    if isinstance(config, DirectoryConfig):
        return open_directory(config, environment, posix=True)
    return open_store(config, environment=environment)


def open_key_file(path: Path) -> KeyWrapper:
    """Open a key-encryption key that lies in a file.

    Raises:
        ConfigurationError: absent, unreadable, or not a key.
    """
    return KeyFile.read(path)


def create_key_file(path: Path) -> KeyWrapper:
    """Make a new key-encryption key in a file; never replaces one.

    Raises:
        AlreadyExists: the file exists.
    """
    return KeyFile.create(path)
