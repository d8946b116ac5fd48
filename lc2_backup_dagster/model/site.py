"""Names of things: sites, components, kinds of backup."""

import re
from dataclasses import dataclass
from enum import StrEnum

from lc2_backup_dagster.model.errors import ConfigurationError

NAME = re.compile(r"^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$")


@dataclass(frozen=True, slots=True, order=True)
class SiteId:
    """One project's application, for example ``retail/liferay``.

    Attributes:
        project: lower-case letters, digits, ``-`` and ``_``, at most 63.
        application: the application's name within the project, same letters.
    """

    project: str
    application: str

    def __post_init__(self) -> None:
        for field in (self.project, self.application):
            if not NAME.match(field):
                raise ConfigurationError(
                    f"'{field}' is not a usable name in site '{self.project}/{self.application}'",
                    hint="1 to 63 lower-case letters, digits, '-' and '_', beginning and ending with a letter or digit",
                )

    def __str__(self) -> str:
        return f"{self.project}/{self.application}"

    @property
    def word(self) -> str:
        """The site in one word of letters, digits and ``_``; sites of one deployment must differ in it too."""
        # Two underscores part project and application: names may hold single ones, and orchestrators take no dash.
        return f"{self.project}__{self.application}".replace("-", "_")

    @classmethod
    def parse(cls, text: str) -> "SiteId":
        """Read ``project/application``.

        Raises:
            ConfigurationError: not of that form.
        """
        project, slash, application = text.partition("/")
        if not slash:
            raise ConfigurationError(f"'{text}' is not a site", hint="write project/application, like retail/liferay")
        return cls(project, application)


class Component(StrEnum):
    """What is captured by itself and fenced by itself. The values are persisted."""

    DATABASE = "database"
    DATABASE_DUMP = "database_dump"
    FILES = "files"
    CONFIGURATION = "configuration"
    RECOVERY_POINT = "recovery_point"
    SEARCH_INDEX = "search_index"
    """Reserved: nothing captures it; recovery points tell that it was skipped, restores that it is to be built."""


class BackupKind(StrEnum):
    """How a backup was made. The values are persisted."""

    FULL = "full"
    INCREMENTAL = "incremental"
    WAL = "wal"
    SNAPSHOT = "snapshot"
    DUMP = "dump"
    BINDING = "binding"
