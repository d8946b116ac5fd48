"""The schema of a site file: one project's application, where its state lies, where its backups go, and when.

Strict: unknown fields, wrong kinds and values that cannot work are refused when the file is read. A secret appears
only as the *name* of an environment variable, in a field that ends in ``Env``. ``docs/site-file.md`` is made from the
descriptions here (``reference.py``).
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, field_validator, model_validator
from pydantic_core import PydanticCustomError

from lc2_backup_dagster.applications.registry import APPLICATIONS, application_of
from lc2_backup_dagster.clouds.registry import StoreConfig
from lc2_backup_dagster.engines.files.capture.shards import shards_of
from lc2_backup_dagster.engines.files.manifest.entry import Protection
from lc2_backup_dagster.model.application import Application
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.site import Component, SiteId
from lc2_backup_dagster.sites.configuration import Configuration
from lc2_backup_dagster.sites.cron import longest_pause_days
from lc2_backup_dagster.sites.hooks import HookDefinition, refuse_duplicates
from lc2_backup_dagster.sites.policies import Policies, Retention, Schedules, WalArchiving
from lc2_backup_dagster.sites.restores import Restore
from lc2_backup_dagster.sites.values import (
    AbsolutePath,
    Glob,
    Name,
    Owner,
    Port,
    Positive,
    Prefix,
    Query,
    SslMode,
    Strict,
    Tags,
    Text,
    Variable,
    refuse,
)

API_VERSION = "backup.lc2.io/v1alpha1"
# A part in flight needs about five times its size; with the rest of a worker that stays below 300 MB.
_PARTS_IN_FLIGHT_BYTES = 32 * 1024 * 1024


class FileKey(Strict):
    """A key-encryption key in a file."""

    kind: Literal["file"] = Field(description="Where the key is kept: a key file.")
    path: AbsolutePath = Field(description="The key file, made by `lc2-backup keygen`. Keep a copy in a safe.")


class Encryption(Strict):
    """Whether and with which key backups are encrypted by the service."""

    enabled: StrictBool = Field(default=True, description="Encrypt every stored object (AES-256-GCM).")
    key: FileKey | None = Field(
        default=None, description="The key that wraps the repository's data keys. Required while encryption is on."
    )

    @model_validator(mode="after")
    def _has_key(self) -> Self:
        if self.enabled and self.key is None:
            refuse("is on but has no key", allowed="a key with kind and path, or enabled: false")
        return self


class Destination(Strict):
    """Where backups go."""

    store: StoreConfig = Field(description="The object store that holds the repository.")
    prefix: Prefix = Field(default="", description="Folder of the repository inside the bucket; sites may share one.")
    encryption: Encryption = Field(description="Encryption by the service, before anything leaves the worker.")
    part_bytes: Annotated[Positive, Field(ge=1024 * 1024, le=32 * 1024 * 1024)] = Field(
        default=8 * 1024 * 1024, description="Size of the parts that streams are cut into, before compression."
    )
    parts_in_flight: Annotated[Positive, Field(le=16)] = Field(
        default=3, description="Parts compressed and uploaded at once; times `partBytes` at most 32 MiB."
    )
    compression_level: Annotated[Positive, Field(le=19)] = Field(default=3, description="Level of zstd.")

    @model_validator(mode="after")
    def _fits_in_memory(self) -> Self:
        if self.part_bytes * self.parts_in_flight > _PARTS_IN_FLIGHT_BYTES:
            refuse(
                "would hold more than 32 MiB of parts in memory",
                allowed=f"partBytes times partsInFlight up to {_PARTS_IN_FLIGHT_BYTES}",
            )
        return self


class ProtectionRule(Strict):
    """How some of the files are protected."""

    prefix: Text | None = Field(default=None, description="Keys that begin with this text.")
    glob: Glob | None = Field(default=None, description="Keys that match this glob.")
    protection: Protection = Field(description="`client` or `store`, as in `files.protection`.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.prefix is None) == (self.glob is None):
            refuse("does not say which files it is for", allowed="either prefix or glob")
        return self


class FilesSource(Strict):
    """Where the application keeps its files."""

    store: StoreConfig = Field(description="The application's own object store or folder; only ever read.")
    prefix: Prefix = Field(
        default="",
        description="Folder of the files inside the bucket (Liferay's file-system store: `data/document_library/`). "
        "Globs and rules look at keys below it.",
    )


class Files(Strict):
    """The files of the application."""

    source: FilesSource = Field(description="Where the application keeps its files.")
    protection: Protection = Field(
        default=Protection.CLIENT,
        description="`client`: read, compressed, encrypted and hashed by the worker. `store`: copied by the object "
        "store itself, which must then encrypt at rest.",
    )
    rules: tuple[ProtectionRule, ...] = Field(
        default=(), description="Exceptions from `protection`; the first that fits a key decides."
    )
    exclude_generated_files: StrictBool = Field(
        default=True, description="Leave out exactly the files that the application makes again by itself."
    )
    exclude: tuple[Glob, ...] | None = Field(
        default=None,
        description="Globs of files to leave out. Given, the list replaces the application's own (Liferay: "
        "`*/thumbnails/*`, `*/previews/*`, `*/.cache/*`; Drupal: `sites/default/files/tmp/*`); `[]` leaves nothing "
        "out.",
    )
    include: tuple[Glob, ...] | None = Field(
        default=None,
        description="Globs of files to back up. Given, the list replaces the application's own (Drupal: "
        "`sites/default/files/*`, `sites/default/private/*`; others: all); `[]` means all. Excludes win over includes. "
        "Drupal's `settings.php` and `settings.*.php` are never backed up.",
    )
    max_concurrency: Annotated[Positive, Field(le=64)] = Field(default=8, description="Files transferred at once.")
    max_bytes_per_second: Annotated[Positive, Field(ge=64 * 1024)] | None = Field(
        default=None,
        description="What a backup may take from the source per second, copies by the store included. Restores know no "
        "limit.",
    )
    shards: Annotated[tuple[Text, ...], Field(max_length=64)] = Field(
        default=(),
        description="Beginnings of keys, below `files.source.prefix`. The files of each, and all others together, are "
        "captured by a step of its own, which may run on another machine; all are committed together.",
    )

    @field_validator("shards", mode="after")
    @classmethod
    def _apart(cls, prefixes: tuple[str, ...]) -> tuple[str, ...]:
        try:
            shards_of(prefixes)
        except ConfigurationError as error:
            refuse(f"is no cut: {error.message}", allowed=error.hint or "prefixes that do not begin with each other")
        return prefixes


class Database(Strict):
    """The application's PostgreSQL database."""

    host: Text = Field(description="Name or address of the server, or the absolute folder of its socket.")
    port: Port = Field(default=5432, description="Port of the server.")
    name: Text = Field(description="Name of the database.")
    user: Text = Field(description="Role that dumps it: needs to read every table.")
    password_env: Variable | None = Field(
        default=None, description="Name of the variable with its password; none where the server asks for none."
    )
    ssl_mode: SslMode = Field(default="require", description="libpq's `sslmode`.")
    ca_file: AbsolutePath | None = Field(
        default=None, description="Certificates that `verify-ca` and `verify-full` trust."
    )
    replication_user: Text | None = Field(
        default=None, description="Role with REPLICATION for base backups; `user` when absent."
    )
    replication_password_env: Variable | None = Field(
        default=None, description="Name of the variable with its password; none where the server asks for none."
    )
    tools_directory: AbsolutePath | None = Field(
        default=None, description="Folder with `pg_dump`, `pg_basebackup` and the rest; else they are searched."
    )
    scratch_directory: AbsolutePath | None = Field(
        default=None, description="Folder for what must lie on disk for a while; the system's own when absent."
    )
    dump_exclude_table_data: tuple[Text, ...] | None = Field(
        default=None,
        description="Tables (patterns of `pg_dump --exclude-table-data`) whose rows dumps leave out. Given, the list "
        "replaces the application's own (Drupal: `cache_*`, `sessions`, `watchdog`; others: none).",
    )
    file_reference_sql: Query | None = Field(
        default=None,
        description="Query for the rows that name files, with the columns `key`, `row_id` and `size_bytes`, ordered by "
        '`key COLLATE "C"` and `row_id`; `none` where no row names one. Given, it replaces the application\'s own.',
    )
    dump_jobs: Annotated[Positive, Field(le=64)] = Field(
        default=1,
        description="Tables that a dump reads at once. Several go through `scratchDirectory`, which must have twice "
        "the database's size free, or one streams; a restore of theirs needs room for the whole dump there.",
    )

    wal: WalArchiving = Field(default=WalArchiving(), description="Continuous archiving of WAL.")

    @field_validator("dump_exclude_table_data", mode="after")
    @classmethod
    def _no_options(cls, patterns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for pattern in patterns or ():
            if pattern.startswith("-"):
                refuse("has a pattern that begins with '-'", allowed="names of tables, with * and ?")
        return patterns

    @model_validator(mode="after")
    def _replication_is_whole(self) -> Self:
        if self.replication_password_env and not self.replication_user:
            refuse("has replicationPasswordEnv without replicationUser", allowed="both, or neither")
        return self


class SiteDefinition(Strict):
    """One site file."""

    api_version: Literal["backup.lc2.io/v1alpha1"] = Field(description="Version of this schema.")
    kind: Literal["Site"] = Field(description="What this file defines.")
    project: Name = Field(description="The project (customer); first half of the site's id. Not `platform`.")
    application: str = Field(
        description="Kind of the application.", json_schema_extra={"enum": [*sorted(APPLICATIONS)]}
    )
    name: Name | None = Field(
        default=None, description="Second half of the site's id, when a project has two of a kind; else the kind."
    )
    environment: Name = Field(description="Where it runs, for example `dev`, `staging` or `prod`.")
    owners: tuple[Owner, ...] = Field(default=(), description="Who is asked: e-mail addresses, or `team:` and a name.")
    tags: Tags = Field(default={}, description="Free words for filters in Dagster.")
    destination: Destination = Field(description="Where backups go.")
    database: Database = Field(description="The application's PostgreSQL database.")
    files: Files | None = Field(default=None, description="The application's files; absent where it has none.")
    configuration: Configuration | None = Field(
        default=None, description="The application's configuration; absent where none is captured."
    )
    hooks: Annotated[tuple[HookDefinition, ...], AfterValidator(refuse_duplicates)] = Field(
        default=(), description="Commands that run before a backup, in this order."
    )
    schedules: Schedules = Field(default=Schedules(), description="When backups are made.")
    retention: Retention = Field(default=Retention(), description="How many backups are kept.")
    restore: Restore = Field(default=Restore(), description="Where restores go unless a launch says otherwise.")
    policies: Policies = Field(default=Policies(), description="What is checked, and when somebody is woken.")

    @property
    def site_id(self) -> SiteId:
        """The site's id."""
        return SiteId(self.project, self.name or self.application)

    @property
    def application_kind(self) -> Application:
        """What the service knows of the application."""
        return application_of(self.application)

    @property
    def file_shards(self) -> tuple[str, ...]:
        """Prefixes that the files are cut by; none where one process captures all of them, or there are none."""
        return self.files.shards if self.files else ()

    @property
    def components(self) -> tuple[Component, ...]:
        """What is captured of the site, upstream first."""
        has = {Component.FILES: self.files, Component.CONFIGURATION: self.configuration}
        own = (component for component, told in has.items() if told is not None)
        return (Component.DATABASE, Component.DATABASE_DUMP, *own, Component.RECOVERY_POINT)

    @field_validator("project", mode="after")
    @classmethod
    def _not_reserved(cls, project: str) -> str:
        if project == "platform":
            refuse("is reserved for the service's own assets", allowed="another name")
        return project

    @field_validator("application", mode="after")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in APPLICATIONS:
            refuse("is not an application this service knows", allowed=", ".join(sorted(APPLICATIONS)))
        return kind

    @model_validator(mode="after")
    def _hooks_run_before_something(self) -> Self:
        captured = {"database_dump": True, "files": self.files, "configuration": self.configuration}
        for hook in self.hooks:
            if captured[hook.before] is None:
                _refuse_at(
                    "hooks",
                    f"has '{hook.name}' before {hook.before}, which the site does not have, so it would never run",
                    allowed=", ".join(word for word, there in captured.items() if there is not None),
                )
        source = self.configuration.source.kind if self.configuration else None
        if source == "hooks" and not any(hook.store_artifact for hook in self.hooks):
            _refuse_at(
                "configuration.source",
                "is what hooks leave behind, but no hook has storeArtifact",
                allowed="a hook with storeArtifact and artifactPath, or another kind of source",
            )
        if source != "hooks" and any(hook.store_artifact for hook in self.hooks):
            _refuse_at(
                "hooks",
                "store artefacts that nothing takes",
                allowed="storeArtifact together with configuration.source of kind hooks",
            )
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.files is not None:
            _check_source(self.files, self.destination)
        age, pause = self.policies.verification.max_age_days, longest_pause_days(self.schedules.verification.cron)
        if age is not None and age <= 2 * pause:
            _refuse_at(
                "policies.verification.maxAgeDays",
                f"is too short for a schedule that lets {pause} days pass between two runs",
                allowed=f"more than {2 * pause} days, or a schedules.verification.cron that fires more often",
            )
        return self


def _check_source(files: Files, target: Destination) -> None:
    source = files.source
    if _place(source.store) == _place(target.store) and (
        source.prefix.startswith(target.prefix) or target.prefix.startswith(source.prefix)
    ):
        _refuse_at(
            "destination",
            "lies inside the files' source, or around it: backups would back themselves up",
            allowed="another bucket, or prefixes that do not contain each other",
        )
    by_store = files.protection is Protection.STORE or any(rule.protection is Protection.STORE for rule in files.rules)
    if by_store and source.store.kind != target.store.kind:
        _refuse_at(
            "files.protection",
            f"'store' cannot copy from {source.store.kind} to {target.store.kind}",
            allowed="client, or a source and a destination of one kind",
        )


def _place(store: StoreConfig) -> dict[str, object]:
    """Return what says where a store is, without how one is let in."""
    told = store.model_dump()
    return {field: told[field] for field in ("kind", "endpoint", "bucket", "path") if field in told}


def _refuse_at(field: str, reason: str, *, allowed: str) -> None:
    raise PydanticCustomError(
        "site_file", "{reason}; allowed: {allowed}", {"reason": reason, "allowed": allowed, "field": field}
    )
