"""The launch form of the restore asset. Every default makes something new; none can overwrite anything."""

from enum import StrEnum

import dagster as dg
from pydantic import Field


class Scope(StrEnum):
    """What of the point is restored. Dagster wants the enum of a form in this layer."""

    FULL = "full"
    DATABASE = "database"
    FILES = "files"
    CONFIGURATION = "configuration"
    SERVER = "server"


class OnConflict(StrEnum):
    """What happens to files that are at the target already. Overwriting is for the command line, on purpose."""

    REFUSE = "refuse"
    SKIP = "skip"


class Target(StrEnum):
    """Where the recovery of a whole server ends."""

    POINT = "point"
    TIME = "time"
    LSN = "lsn"
    NAME = "name"
    XID = "xid"
    LATEST = "latest"
    IMMEDIATE = "immediate"


class RestoreConfig(dg.Config):
    """The launch form. Every default makes something new; none can overwrite anything."""

    scope: Scope = Field(
        default=Scope.FULL,
        description="What to restore: `full`, `database`, `files` or `configuration` from the point's dump, files and "
        "export; `server`: the whole database server from base backup and archived WAL, into `target_directory`.",
    )
    target_database: str | None = Field(
        default=None,
        description="Name of the new database on the site's restore server. It must not exist. "
        "Default: the source's name, `_restored_` and the time.",
    )
    target_bucket: str | None = Field(
        default=None,
        description="Bucket (or directory) for the files. Default: `restore.files` of the site file.",
    )
    target_prefix: str | None = Field(
        default=None,
        description="Folder inside the bucket, ending with a slash. Must be empty unless conflicts are skipped. "
        "Default: the recovery point's id.",
    )
    files: list[str] = Field(
        default_factory=list,
        description="Globs over the files' keys; only matching files are restored. `*` is any text, slashes "
        "included. Empty: all files.",
    )
    file_keys: list[str] = Field(
        default_factory=list,
        description="Keys of single files, as they are, whatever characters they have. `lc2-backup find` shows which "
        "backups hold which version of a file. Empty: all files.",
    )
    files_below: str = Field(
        default="",
        description="Only files whose key begins with this text, like `docs/2026/`. Empty: all files.",
    )
    on_conflict: OnConflict = Field(
        default=OnConflict.REFUSE,
        description="`refuse` writes nothing when a file is there already; `skip` leaves those as they are (this is "
        "also how a restore that broke off is continued). Overwriting, and deleting what the backup does not have, are "
        "for the command line, on purpose: there the target is confirmed by its name.",
    )
    remove_orphans: bool = Field(
        default=False,
        description="Scope `full` of everything: in the end remove those of the files that this restore has brought "
        "that no row of the restored database names; never generated ones, never others. A dry run names them.",
    )
    import_configuration: bool = Field(
        default=False,
        description="In the end run `restore.configuration.importCommand` of the site file on the restored "
        "configuration. It changes the application that the command names. A dry run shows the command.",
    )
    invalidate_cdn: bool | None = Field(
        default=None,
        description="In the end tell the CDN of `restore.files.cdn` of the files that were written. Default: only "
        "where they go into the application's own store.",
    )
    target_directory: str | None = Field(
        default=None,
        description="Scopes `server` and `files`: a new or empty directory on the machine that runs the restore (for "
        "files instead of a bucket). A server's directory that holds something is refused; a delta restore is for the "
        "command line, on purpose.",
    )
    configuration_directory: str | None = Field(
        default=None,
        description="A new directory for the documents of the configuration, on the machine that runs the restore. "
        "Default: below `restore.configuration.directory` of the site file; without that a full restore leaves the "
        "configuration out.",
    )
    tablespaces: dict[str, str] = Field(
        default_factory=dict,
        description="Scope `server`: number of each tablespace (the plan lists them) and its new directory.",
    )
    recovery_target: Target = Field(
        default=Target.POINT,
        description="Scope `server`: where recovery ends. `point` is the moment of the recovery point; `time`, `lsn`, "
        "`name` (a restore point) and `xid` take `recovery_value`; `latest` is the end of all archived WAL; "
        "`immediate` the end of the base backup.",
    )
    recovery_value: str | None = Field(
        default=None,
        description="Value of the recovery target; a time with its zone, like 2026-11-23T02:00:00Z.",
    )
    recovery_timeline: int | None = Field(
        default=None, ge=1, description="Timeline to follow; the newest one that can be reached when absent."
    )
    jobs: int = Field(default=2, ge=1, le=32, description="Parallel jobs of `pg_restore`.")
    dry_run: bool = Field(
        default=False,
        description="Only make the plan: exact objects, bytes, targets, what would happen to files, and every blocker. "
        "Changes nothing.",
    )
