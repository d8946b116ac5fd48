"""Turns a site's definition and the environment into opened, plain objects.

Nothing connects here: stores, servers and the key file are used for the first time by whoever uses them. The secrets
that fields name are read here, all at once, so that one message tells everything that is missing.
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from lc2_backup_dagster.clouds.keys import KeyWrapper
from lc2_backup_dagster.clouds.prefixed import PrefixedStore
from lc2_backup_dagster.clouds.registry import open_file_tree, open_folder, open_key_file, open_store
from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.engines.files.verify.sampling import SampleAim, percent
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.application import Application
from lc2_backup_dagster.model.clock import Clock
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.globs import GlobSet
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.operations.capture.heap import share_one_heap
from lc2_backup_dagster.operations.site_context import (
    ChainLimits,
    DatabaseAccess,
    FilesAccess,
    Limits,
    RestoreAccess,
    SiteContext,
    VerificationPolicy,
    WalSettings,
)
from lc2_backup_dagster.repository.parts import WriteOptions
from lc2_backup_dagster.repository.site import SiteRepository, open_site_repository
from lc2_backup_dagster.sites.after_restore import open_cdn, open_import
from lc2_backup_dagster.sites.configuration import configuration_access
from lc2_backup_dagster.sites.cron import longest_pause_days
from lc2_backup_dagster.sites.hooks import open_hooks
from lc2_backup_dagster.sites.schema import Destination, Files, SiteDefinition
from lc2_backup_dagster.sites.selection import (
    ProtectionRules,
    bucket_of,
    file_selection,
    files_settings,
    in_bucket,
    source_id,
)
from lc2_backup_dagster.sites.values import NO_QUERY


@dataclass(frozen=True, slots=True)
class RequiredVariable:
    """An environment variable that a site file asks for.

    Attributes:
        field: path of the field in the file.
        variable: name of the variable.
    """

    field: str
    variable: str


@dataclass(frozen=True, slots=True)
class OpenSite:
    """A site, opened.

    Attributes:
        definition: what its file says.
        destination_store: the store of its repository, keys below the destination's prefix.
        context: what operations take.
    """

    definition: SiteDefinition
    destination_store: ObjectStore
    context: SiteContext

    @property
    def site_id(self) -> SiteId:
        """The site's id."""
        return self.context.site

    @property
    def application(self) -> Application:
        """What the service knows of the application."""
        return self.context.application

    @property
    def files_source(self) -> ObjectStore:
        """The store of the application's files, keys below its prefix."""
        return self.context.files.store

    @property
    def database(self) -> Server:
        """The application's database."""
        return self.context.database.server


def open_site(definition: SiteDefinition, *, environment: Mapping[str, str], clock: Clock | None = None) -> OpenSite:
    """Open a site without connecting to anything.

    Args:
        definition: what its file says.
        environment: the variables that hold its secrets.
        clock: stamps the repository's records; the machine's when None.

    Raises:
        ConfigurationError: variables are not set; the message names all of them and the fields that ask for them.
    """
    _check_environment(definition, environment)
    share_one_heap()
    site_id = definition.site_id
    application = _application(definition)
    destination = _below(
        open_store(definition.destination.store, environment=environment), definition.destination.prefix
    )

    opened: list[SiteRepository] = []

    def open_repository(create: bool, /) -> SiteRepository:
        if opened:
            return opened[0]  # it has proven the log once; from then on it reads only what was appended
        repository = open_site_repository(
            destination,
            site_id,
            wrapper=open_key(definition.destination),
            create=create,
            clock=clock,
            options=_write_options(definition),
            compression_level=definition.destination.compression_level,
        )
        opened.append(repository)
        return repository

    context = SiteContext(
        site=site_id,
        application=application,
        database=_database(definition, environment),
        library=_files(definition.files, application, environment) if definition.files else None,
        configuration=configuration_access(definition.configuration, application, environment)
        if definition.configuration
        else None,
        restore=_restore(definition, environment),
        limits=Limits(
            dangling_rows_share=definition.policies.dangling_rows_limit_share,
            change_ratio=definition.policies.suspicious_change_ratio,
            verification=_verification(definition),
        ),
        open_repository=open_repository,
        hooks=open_hooks(definition, environment),
    )
    return OpenSite(definition=definition, destination_store=destination, context=context)


def open_key(destination: Destination) -> KeyWrapper | None:
    """Read the key that wraps the repository's data keys, or return None where encryption is off.

    Raises:
        ConfigurationError: the key file is absent or unreadable.
    """
    if not destination.encryption.enabled or destination.encryption.key is None:
        return None
    return open_key_file(destination.encryption.key.path)


def required_variables(definition: SiteDefinition) -> tuple[RequiredVariable, ...]:
    """Return every environment variable that a site asks for when it is opened, in the order of its fields."""
    return tuple(_variables(definition, ""))


def _variables(model: BaseModel, above: str) -> Iterator[RequiredVariable]:
    for name, field in type(model).model_fields.items():
        path = f"{above}{field.alias or name}"
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _variables(value, f"{path}.")
        elif name.endswith("_env") and isinstance(value, str):
            yield RequiredVariable(path, value)
        elif name == "pass_env":
            yield from (RequiredVariable(path, each) for each in value)
        elif isinstance(value, tuple):
            for index, item in enumerate(cast(tuple[object, ...], value)):
                if isinstance(item, BaseModel):
                    yield from _variables(item, f"{path}[{index}].")


def _check_environment(definition: SiteDefinition, environment: Mapping[str, str]) -> None:
    missing = [needed for needed in required_variables(definition) if not environment.get(needed.variable)]
    if missing:
        told = ", ".join(f"{needed.variable} ({needed.field})" for needed in missing)
        raise ConfigurationError(
            f"site {definition.site_id}: environment variables are not set: {told}",
            hint="set them where the service runs, or change the fields that name them",
            site=str(definition.site_id),
            variables=tuple(needed.variable for needed in missing),
        )


def _application(definition: SiteDefinition) -> Application:
    application, query = definition.application_kind, definition.database.file_reference_sql
    if query is None:
        return application
    # Every application is a frozen dataclass, which the protocol cannot say.
    own = None if query == NO_QUERY else query
    return replace(cast(Any, application), file_reference_sql=own, file_reference_layouts=())


def _below(store: ObjectStore, prefix: str) -> ObjectStore:
    return PrefixedStore(store, prefix) if prefix else store


def _write_options(definition: SiteDefinition) -> WriteOptions:
    return WriteOptions(
        part_bytes=definition.destination.part_bytes,
        in_flight=definition.destination.parts_in_flight,
        read_back_all=definition.policies.read_back == "all",
    )


def _database(definition: SiteDefinition, environment: Mapping[str, str]) -> DatabaseAccess:
    told = definition.database
    server = Server(
        host=told.host,
        port=told.port,
        user=told.user,
        password=_secret(environment, told.password_env),
        database=told.name,
        sslmode=told.ssl_mode,
        ca_file=told.ca_file,
    )
    excluded = told.dump_exclude_table_data
    return DatabaseAccess(
        server=server,
        replication=_as_user(server, told.replication_user, _secret(environment, told.replication_password_env)),
        tools_directory=told.tools_directory,
        scratch_directory=told.scratch_directory or Path(tempfile.gettempdir()),
        exclude_table_data=tuple(definition.application_kind.default_dump_excludes if excluded is None else excluded),
        dump_jobs=told.dump_jobs,
        wal=_wal(definition),
        chains=ChainLimits(**definition.policies.chains.model_dump()),
    )


def _wal(definition: SiteDefinition) -> WalSettings | None:
    told = definition.database.wal
    if not told.enabled:
        return None
    return WalSettings(
        slot=told.slot or f"lc2_{definition.site_id.word}"[:63],
        partial_seconds=told.partial_seconds,
        slot_lag_alarm_bytes=told.slot_lag_alarm_bytes,
    )


def _files(told: Files, application: Application, environment: Mapping[str, str]) -> FilesAccess:
    generated = GlobSet(application.generated_globs)
    return FilesAccess(
        store=_below(open_file_tree(told.source.store, environment=environment), told.source.prefix),
        source_id=source_id(told),
        is_selected=file_selection(told, application).selects,
        is_generated=generated.match,
        protection_of=ProtectionRules(told).protection_of,
        max_concurrency=told.max_concurrency,
        max_bytes_per_second=told.max_bytes_per_second,
        shards=told.shards,
        settings=files_settings(told, application),
    )


def _verification(definition: SiteDefinition) -> VerificationPolicy:
    told = definition.policies.verification
    return VerificationPolicy(
        max_age=None if told.max_age_days is None else timedelta(days=told.max_age_days),
        # Twice, so that one missed run puts nothing over the age.
        ahead=2 * timedelta(days=longest_pause_days(definition.schedules.verification.cron)),
        max_bytes=told.max_bytes_per_run,
        aim=SampleAim(
            share=percent(told.sample.damaged_percent),
            confidence=percent(told.sample.confidence_percent),
            unit=told.sample.unit,
        ),
    )


def _restore(definition: SiteDefinition, environment: Mapping[str, str]) -> RestoreAccess:
    told, source = definition.restore.database, definition.database
    server = Server(
        host=told.host or source.host,
        port=told.port or source.port,
        user=told.user or source.user,
        # Another role's password never goes to a role that names none.
        password=_secret(environment, told.password_env if told.user else source.password_env),
        database=told.maintenance_database,
        sslmode=told.ssl_mode or source.ssl_mode,
        ca_file=told.ca_file or source.ca_file,
    )
    files, configuration = definition.restore.files, definition.restore.configuration
    default = files.store if files else None

    def open_files_target(bucket: str | None, prefix: str) -> ObjectStore:
        if default is None and bucket is None:
            raise ConfigurationError(
                f"site {definition.site_id} names no place for restored files",
                hint="name a bucket for the restore, or set restore.files in the site file",
            )
        config = default or (definition.files.source.store if definition.files else None)
        if config is None:
            raise ConfigurationError(f"site {definition.site_id} has no files", hint="add `files` to its site file")
        if bucket is not None:
            config = in_bucket(config, bucket)
        return _below(open_file_tree(config, environment=environment), prefix)

    return RestoreAccess(
        server=server,
        open_files_target=open_files_target,
        files_bucket=bucket_of(default) if default else None,
        open_folder=lambda path, create: open_folder(path, create=create),
        configuration_directory=configuration.directory if configuration else None,
        configuration_import=open_import(configuration.import_command, environment)
        if configuration and configuration.import_command
        else None,
        cdn=open_cdn(files.cdn, environment) if files and files.cdn else None,
    )


def _secret(environment: Mapping[str, str], variable: str | None) -> str | None:
    return environment[variable] if variable else None


def _as_user(server: Server, user: str | None, password: str | None) -> Server:
    return replace(server, user=user, password=password) if user else server
