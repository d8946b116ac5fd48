"""Configuration of a directory store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from lc2_backup_dagster.clouds.config import StoreSettings
from lc2_backup_dagster.clouds.local.store import DirectoryStore


class DirectoryConfig(StoreSettings):
    """A plain directory, local or mounted."""

    kind: Literal["directory"]
    path: str = Field(description="Absolute path of the directory; a leading ~ is the home directory.")
    create: bool = Field(default=False, description="Make the directory when it is missing.")

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not Path(value).expanduser().is_absolute():
            raise ValueError("the path must be absolute, because services start in different directories")
        return value


def open_directory(config: DirectoryConfig, environment: Mapping[str, str], *, posix: bool = False) -> DirectoryStore:
    """Return the store; nothing is read or written yet, but for the directory itself when ``create`` is set."""
    return DirectoryStore(Path(config.path).expanduser(), create=config.create, posix=posix)
