"""What an operation needs of a site, as opened objects: the assembly in ``sites`` makes it, every verb takes it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from lc2_backup_dagster.clouds.managed_database import ManagedDatabase
from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.engines.exports.ports import ExportSource
from lc2_backup_dagster.engines.exports.stored import StoredExport
from lc2_backup_dagster.engines.files.restore.invalidation import InvalidationCall, PathRules
from lc2_backup_dagster.engines.files.verify.sampling import SampleAim
from lc2_backup_dagster.engines.hooks.ports import HookRunner
from lc2_backup_dagster.engines.hooks.run import BoundHook
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.application import Application
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.site import Component, SiteId
from lc2_backup_dagster.repository.site import SiteRepository


@dataclass(frozen=True, slots=True)
class WalSettings:
    """How WAL of the site is archived.

    Attributes:
        slot: name of the physical replication slot.
        partial_seconds: longest time received WAL waits before it is in the repository.
        slot_lag_alarm_bytes: WAL the slot may hold back on the server before somebody is woken.
    """

    slot: str
    partial_seconds: int = 10
    slot_lag_alarm_bytes: int = 4 * 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ChainLimits:
    """When a database backup may stand on an earlier one.

    Attributes:
        incremental: whether increments are wanted where the server can.
        max_length: most increments behind one full backup.
        max_age_hours: oldest full backup that increments, or archived WAL, may still stand on.
    """

    incremental: bool = True
    max_length: int = 24
    max_age_hours: int = 168


@dataclass(frozen=True, slots=True)
class DatabaseAccess:
    """The application's database.

    Attributes:
        server: address and role for dumps.
        replication: address and role for base backups.
        tools_directory: where PostgreSQL's tools are looked for first, or None.
        scratch_directory: where what must lie on disk for a while may lie.
        exclude_table_data: patterns of tables whose rows dumps leave out.
        dump_jobs: tables that a dump reads at once where scratch has room; 1 streams without scratch.
        wal: how WAL is archived, or None where it is not.
        chains: when a backup may stand on an earlier one.
        managed: the provider's service of the server, or None where it has none that we know.
    """

    server: Server
    replication: Server
    tools_directory: Path | None
    scratch_directory: Path
    exclude_table_data: tuple[str, ...]
    dump_jobs: int = 1
    wal: WalSettings | None = None
    chains: ChainLimits = ChainLimits()
    managed: ManagedDatabase | None = None


@dataclass(frozen=True, slots=True)
class FilesAccess:
    """The application's files.

    Attributes:
        store: the source, keys below its prefix; only ever read.
        source_id: names the source in identities of files; stable over time.
        is_selected: whether a key is backed up at all.
        is_generated: whether the application makes the file again by itself; such a file is never an orphan.
        protection_of: ``client`` or ``store`` for a key.
        max_concurrency: files moved at once.
        max_bytes_per_second: what a backup may take from the source; None for no limit.
        shards: prefixes that the library is cut by; none where one process captures all of it.
        settings: names what decides which files are captured, and how; another text when any of that changes.
    """

    store: ObjectStore
    source_id: str
    is_selected: Callable[[str], bool]
    is_generated: Callable[[str], bool]
    protection_of: Callable[[str], str]
    max_concurrency: int
    max_bytes_per_second: int | None = None
    shards: tuple[str, ...] = ()
    settings: str = ""


@dataclass(frozen=True, slots=True)
class ExportNeeds:
    """What an export of the configuration is made with.

    Attributes:
        artifacts: folder with a folder for each artefact that a hook left.
        scratch: folder for what must lie on disk for a while.
        before: the export before this one, or None.
    """

    artifacts: Path
    scratch: Path
    before: StoredExport | None


@dataclass(frozen=True, slots=True)
class ConfigurationAccess:
    """The application's configuration.

    Attributes:
        open_source: gives the documents, without what must not be stored.
        required: paths of documents without which an export fails.
        origin: where it comes from, for people.
    """

    open_source: Callable[[ExportNeeds], AbstractContextManager[ExportSource]]
    required: Sequence[str]
    origin: str


@dataclass(frozen=True, slots=True)
class ConfigurationImport:
    """The command that brings a restored configuration into the application.

    Attributes:
        command: program and arguments; ``{directory}`` in them stands for the folder of the restored documents.
        timeout_seconds: how long it may take.
        runner: what runs it.
    """

    command: tuple[str, ...]
    timeout_seconds: int
    runner: HookRunner = field(repr=False)

    def words(self, directory: Path | str) -> tuple[str, ...]:
        """Return the command for a folder; a name with spaces stays within its word."""
        return tuple(word.replace("{directory}", str(directory)) for word in self.command)


@dataclass(frozen=True, slots=True)
class CdnAccess:
    """The CDN before the application's files.

    Attributes:
        title: what is called, for people; no secrets.
        call: tells it of paths.
        rules: how keys become paths.
    """

    title: str
    call: InvalidationCall = field(repr=False)
    rules: PathRules = field(default_factory=PathRules)


@dataclass(frozen=True, slots=True)
class RestoreAccess:
    """Where restores may go.

    Attributes:
        server: server and role that may create databases.
        open_files_target: from a bucket (or directory) and a prefix, or None for the site's defaults, to a store.
        files_bucket: the default bucket (or directory), for plans and messages; None where the site names none.
        open_folder: from an absolute path on this machine, and whether to make it, to a store.
        configuration_directory: where restored configurations get a folder each, or None where the site names none.
        configuration_import: brings a restored configuration into the application, or None where the site names none.
        cdn: what is before the application's files, or None where the site names none.
    """

    server: Server
    open_files_target: Callable[[str | None, str], ObjectStore]
    files_bucket: str | None
    open_folder: Callable[[Path, bool], ObjectStore]
    configuration_directory: Path | None = None
    configuration_import: ConfigurationImport | None = None
    cdn: CdnAccess | None = None


@dataclass(frozen=True, slots=True)
class VerificationPolicy:
    """How stored files are verified after they were captured.

    Attributes:
        max_age: longest time that no stored file stays unread, or None where samples are read instead.
        ahead: what would be over the age within this time is due.
        max_bytes: bytes after which a run begins no further file, or None.
        aim: damage that a sample shall find.
    """

    max_age: timedelta | None = timedelta(days=30)
    ahead: timedelta = timedelta(days=2)
    max_bytes: int | None = None
    aim: SampleAim = field(default_factory=SampleAim)


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a suspicion becomes a refusal.

    Attributes:
        dangling_rows_share: share of rows naming a missing file that blocks a recovery point, 0 to 1.
        change_ratio: change of size against the site's history that is suspicious, 0.5 for half.
        verification: how stored files are verified.
    """

    dangling_rows_share: float = 0.01
    change_ratio: float = 0.5
    verification: VerificationPolicy = VerificationPolicy()


@dataclass(frozen=True, slots=True)
class SiteContext:
    """One site, opened.

    Attributes:
        site: its id.
        application: what the service knows of its application.
        database: its database.
        library: its files, or None where it has none.
        restore: where restores go.
        limits: its policies.
        open_repository: opens the repository; True lets a first backup make it.
        hooks: commands that run before a backup, in their order.
        configuration: its configuration, or None where it has none.
    """

    site: SiteId
    application: Application
    database: DatabaseAccess
    library: FilesAccess | None
    restore: RestoreAccess
    limits: Limits
    open_repository: Callable[[bool], SiteRepository]
    configuration: ConfigurationAccess | None = None
    hooks: tuple[BoundHook, ...] = ()

    @property
    def files(self) -> FilesAccess:
        """The application's files.

        Raises:
            ConfigurationError: the site has none.
        """
        if self.library is None:
            raise ConfigurationError(f"site {self.site} has no files", hint="add `files` to its site file")
        return self.library

    @property
    def bound(self) -> tuple[Component, ...]:
        """What a complete recovery point of the site holds, in the order of its capture."""
        has = {Component.FILES: self.library, Component.CONFIGURATION: self.configuration}
        return (Component.DATABASE_DUMP, *(component for component, access in has.items() if access is not None))
