"""What is asked of a restore, and the plan that answers it before anything is touched."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lc2_backup_dagster.engines.files.manifest.selection import Selection
from lc2_backup_dagster.engines.files.restore.writing import Conflict


class RestoreScope(StrEnum):
    """What of a recovery point is restored (R-23)."""

    FULL = "full"
    DATABASE = "database"
    FILES = "files"
    CONFIGURATION = "configuration"


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """A wish. Its defaults cannot overwrite anything.

    Attributes:
        backup_id: a recovery point, or a single backup of ``database_dump`` or ``files``.
        scope: what of it.
        target_database: name of the new database; derived from the source and the time when None.
        files_bucket: bucket (or directory) for the files; the site's default when None.
        files_prefix: prefix below it; when None ``<backup id>/``, and nothing below a ``files_directory``.
        files_directory: directory on this machine for the files, instead of a bucket; made when it is missing.
        configuration_directory: new directory on this machine for the documents of the configuration; below the site's
            default when None.
        globs: only files that match one of these; all when empty. Documents, where the scope is ``configuration``.
        below: only files (or documents) whose key begins with this text.
        keys: only these files (or documents); all when empty.
        conflict: what happens to files that are there already.
        checksum: under ``overwrite`` read what is there and compare SHA-256s, whatever etags and times say.
        delete_extra: delete what the target has and the backup has not.
        remove_orphans: in the end delete those of the files that this restore has brought that no row of the restored
            database names, and that the application does not make by itself.
        import_configuration: in the end run the site's command that imports the restored configuration.
        invalidate_cdn: tell the site's CDN of the files that were written or deleted; when None, only where they go
            into the application's own store.
        confirm: the target by name, as the plan's ``confirmation`` has it; nothing is overwritten or deleted without.
        jobs: parallel jobs of ``pg_restore``.
        dry_run: make the plan, count what would happen to every file, and change nothing.
    """

    backup_id: str
    scope: RestoreScope = RestoreScope.FULL
    target_database: str | None = None
    files_bucket: str | None = None
    files_prefix: str | None = None
    files_directory: Path | None = None
    configuration_directory: Path | None = None
    globs: tuple[str, ...] = ()
    below: str = ""
    keys: tuple[str, ...] = ()
    conflict: Conflict = Conflict.REFUSE
    checksum: bool = False
    delete_extra: bool = False
    remove_orphans: bool = False
    import_configuration: bool = False
    invalidate_cdn: bool | None = None
    confirm: str | None = None
    jobs: int = 2
    dry_run: bool = False

    @property
    def selection(self) -> Selection:
        """Which files are meant."""
        return Selection(prefix=self.below, globs=self.globs, keys=frozenset(self.keys))

    @property
    def changes_what_is_there(self) -> bool:
        """Whether files that are at the target may be lost."""
        return self.conflict is Conflict.OVERWRITE or self.delete_extra


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
class FilesForecast:
    """What a restore would do to each file, found out by a rehearsal.

    Attributes:
        written: files that would be written.
        written_bytes: their size.
        overwritten: those of them that replace another one.
        kept: files that are there and would stay: those that are the same, or all under ``skip``.
        deleted: objects that would be deleted.
        deleted_bytes: their size.
        deleted_first: keys of the first ones.
        orphans: files that would be removed because no row names them.
        orphans_first: keys of the first ones.
    """

    written: int
    written_bytes: int
    overwritten: int
    kept: int
    deleted: int
    deleted_bytes: int
    deleted_first: tuple[str, ...]
    orphans: int = 0
    orphans_first: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FilesPlan:
    """How the files will be restored.

    Attributes:
        backup_id: the files backup.
        target: where to, for people.
        bucket: bucket (or directory), None for the site's default.
        prefix: prefix below it.
        objects: files that are meant.
        plain_bytes: their size.
        confirmation: the target's name, to be given before anything there is overwritten or deleted.
        members: ids of what the recovery point binds; none when only the files backup was asked for. With them the
            files are as of the point's moment, and not as they were listed shortly after it.
        forecast: what would happen to them; only of a dry run that nothing stands in the way of.
        cdn: the CDN that is told of what was written and deleted, for people; None where none is.
    """

    backup_id: str
    target: str
    bucket: str | None
    prefix: str
    objects: int
    plain_bytes: int
    confirmation: str
    members: tuple[str, ...] = ()
    forecast: FilesForecast | None = None
    cdn: str | None = None


@dataclass(frozen=True, slots=True)
class ConfigurationPlan:
    """How the configuration will be restored.

    Attributes:
        backup_id: the export.
        target: the new directory, or None where none is named: then it is left out.
        documents: how many are meant.
        plain_bytes: their size.
        secrets_left_out: how many secrets the export does not hold.
        import_command: what is run in the end, as a shell would write it; None where nothing is imported.
    """

    backup_id: str
    target: str | None
    documents: int
    plain_bytes: int
    secrets_left_out: int
    import_command: str | None = None


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """Everything a restore would do.

    Attributes:
        site: the site's id.
        point: the id that was asked for.
        moment: the moment the restored data will be of, RFC 3339 UTC.
        database: or None when no database is restored.
        files: or None when no files are restored.
        configuration: or None when no configuration is restored.
        blockers: everything that would make it fail, each with its remedy; empty when it can run.
        only_outages: whether every blocker passes by itself: a server or store that is away.
        notes: what a person has to do afterwards.
    """

    site: str
    point: str
    moment: str
    database: DatabasePlan | None
    files: FilesPlan | None
    configuration: ConfigurationPlan | None
    blockers: Sequence[str]
    only_outages: bool
    notes: Sequence[str]

    @property
    def plain_bytes(self) -> int:
        """Bytes that will be written to the targets."""
        return sum(each.plain_bytes for each in (self.database, self.files, self.configuration) if each)
