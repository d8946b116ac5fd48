"""What is asked of a restore, and the plan that answers it before anything is touched."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lc2_backup_dagster.engines.files.writing import Conflict


class RestoreScope(StrEnum):
    """What of a recovery point is restored (R-23)."""

    FULL = "full"
    DATABASE = "database"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """A wish. Its defaults cannot overwrite anything.

    Attributes:
        backup_id: a recovery point, or a single backup of ``database_dump`` or ``files``.
        scope: what of it.
        target_database: name of the new database; derived from the source and the time when None.
        files_bucket: bucket (or directory) for the files; the site's default when None.
        files_prefix: prefix below it; ``<backup id>/`` when None.
        globs: only files that match one of these; all when empty.
        conflict: what happens to files that are there already.
        jobs: parallel jobs of ``pg_restore``.
        dry_run: make the plan and change nothing.
    """

    backup_id: str
    scope: RestoreScope = RestoreScope.FULL
    target_database: str | None = None
    files_bucket: str | None = None
    files_prefix: str | None = None
    globs: tuple[str, ...] = ()
    conflict: Conflict = Conflict.REFUSE
    jobs: int = 2
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class DatabasePlan:
    """How the database will be restored.

    Attributes:
        backup_id: the dump.
        target: server and new database, for people.
        database: name of the new database.
        plain_bytes: length of the dump.
        parts: stored objects to fetch.
        server_version: version of the server the dump was taken from.
    """

    backup_id: str
    target: str
    database: str
    plain_bytes: int
    parts: int
    server_version: str


@dataclass(frozen=True, slots=True)
class FilesPlan:
    """How the files will be restored.

    Attributes:
        backup_id: the files backup.
        target: where to, for people.
        bucket: bucket (or directory), None for the site's default.
        prefix: prefix below it.
        objects: files that will be written.
        plain_bytes: their size.
    """

    backup_id: str
    target: str
    bucket: str | None
    prefix: str
    objects: int
    plain_bytes: int


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """Everything a restore would do.

    Attributes:
        site: the site's id.
        point: the id that was asked for.
        moment: the moment the restored data will be of, RFC 3339 UTC.
        database: or None when no database is restored.
        files: or None when no files are restored.
        blockers: everything that would make it fail, each with its remedy; empty when it can run.
        only_outages: whether every blocker passes by itself: a server or store that is away.
        notes: what a person has to do afterwards.
    """

    site: str
    point: str
    moment: str
    database: DatabasePlan | None
    files: FilesPlan | None
    blockers: Sequence[str]
    only_outages: bool
    notes: Sequence[str]

    @property
    def plain_bytes(self) -> int:
        """Bytes that will be written to the targets."""
        return sum(each.plain_bytes for each in (self.database, self.files) if each)
