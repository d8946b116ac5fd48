"""The commands: each takes its options, does what drush does, and prints what drush prints."""

import os
import posixpath
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg import sql

from lc2_backup_dagster.demo.drush.changes import Changes, compare, validate
from lc2_backup_dagster.demo.drush.console import Console, DrushFailure, plain_table, properties, table
from lc2_backup_dagster.demo.drush.storages import (
    DEFAULT,
    Connection,
    Key,
    Objects,
    empty_directory,
    read_database,
    read_directory,
    write_database,
    write_directory,
)

DATABASE_VARIABLE = "DRUPAL_DATABASE_URL"
SYNC_VARIABLE = "DRUPAL_CONFIG_SYNC_DIRECTORY"

_IMPORT = "ConfigImportCommands.php"
_EXPORT = "ConfigExportCommands.php"
_LOCK_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Drupal:
    """The site that commands work on.

    Attributes:
        database_url: address of its database, or None where nothing names it.
        sync_directory: where configuration goes unless a command says otherwise, or None.
        home: drush's backup directories are made below it.
        now: the moment of the command.
    """

    database_url: str | None
    sync_directory: str | None
    home: Path
    now: datetime

    def connect(self) -> Connection:
        """Open its database.

        Raises:
            DrushFailure: it is not named, or not to be had.
        """
        if not self.database_url:
            raise DrushFailure(
                f"Unable to bootstrap Drupal: no database is named (environment variable {DATABASE_VARIABLE}).",
                source="BootstrapHook.php",
            )
        try:
            connection = psycopg.connect(self.database_url, autocommit=True, connect_timeout=10)
        except psycopg.OperationalError as error:
            reason = str(error).splitlines()[0]
            raise DrushFailure(f"Unable to connect to the database: {reason}", source="BootstrapHook.php") from error
        except psycopg.ProgrammingError:
            # The library's message would quote the address, password included.
            raise DrushFailure(
                f"{DATABASE_VARIABLE} is no postgresql:// address.", source="BootstrapHook.php"
            ) from None
        if connection.execute("select to_regclass('config')").fetchone() == (None,):
            connection.close()
            raise DrushFailure("Drupal is not installed in this database.", source="BootstrapHook.php")
        return connection

    def directory(self, asked: str | None, *, create: bool) -> Path:
        """Return the directory that a command works on; an empty text asks for a new one of drush's own."""
        if asked is None and not self.sync_directory:
            raise DrushFailure(
                'The config sync directory is not defined in $settings["config_sync_directory"]',
                source="ConfigTrait.php",
            )
        if asked == "":
            made = self.home / "drush-backups/config-import-export" / self.now.strftime("%Y%m%d%H%M%S")
            made.mkdir(parents=True, exist_ok=True)
            return made
        chosen = Path(posixpath.normpath(asked or self.sync_directory or ""))
        if create:
            chosen.mkdir(exist_ok=True)
        return chosen


def export(drupal: Drupal, options: Namespace, console: Console) -> None:
    """Write the active configuration to a directory, in place of the YAML that is there."""
    if options.destination:
        _check_destination(Path(options.destination))
    with drupal.connect() as connection:
        active = read_database(connection)
    directory = drupal.directory(options.destination, create=True)
    if any(entry for entry in directory.iterdir() if not entry.name.startswith(".")):
        changes = compare(active, read_directory(directory))
        if not changes:
            console.log(
                "notice",
                f"The active configuration is identical to the configuration in the export directory ({directory}).",
            )
            console.print(str(directory))
            return
        console.log("notice", f"Differences of the active config to the export directory:\n{_changes_table(changes)}\n")
        console.confirm(
            f"The .yml files in your export directory ({directory}) will be deleted and replaced "
            "with the active config."
        )
        empty_directory(directory)
    write_directory(directory, active)
    console.log("success", f"Configuration successfully exported to {directory}.")
    console.print(str(directory))


def import_(drupal: Drupal, options: Namespace, console: Console) -> None:
    """Make the active configuration equal to that of a directory, or take what the directory has (``--partial``)."""
    with drupal.connect() as connection:
        active = read_database(connection)
        directory = _source(drupal, options, active)
        source = read_directory(directory)
        if options.partial:
            source = {**active, **{key: value for key, value in source.items() if key[0] == DEFAULT}}
        changes = compare(source, active)
        if not changes:
            console.log("notice", "There are no changes to import.")
            return
        console.print(_changes_table(changes))
        console.confirm("Import the listed configuration changes?")
        if not _take_lock(connection):
            console.log("warning", "Another request may be synchronizing configuration already.")
            return
        try:
            if errors := validate(source, active):
                listed = "\n".join(errors)
                console.log("error", f"There were errors validating the config synchronization.\n{listed}")
                raise DrushFailure(f"The import failed due to the following reasons:\n{listed}", source=_IMPORT)
            _apply(connection, source, active, changes, console)
        finally:
            connection.execute("delete from semaphore where name = 'config_importer'")
    console.log("success", "The configuration was imported successfully.")


def status(drupal: Drupal, options: Namespace, console: Console) -> None:
    """Tell how the active configuration differs from the sync directory."""
    with drupal.connect() as connection:
        active = read_database(connection)
    changes = compare(active, read_directory(drupal.directory(None, create=False)))
    states = {name: "Identical" for collection, name in active if collection == DEFAULT}
    named = (("Only in DB", changes.create), ("Different", changes.update), ("Only in sync dir", changes.delete))
    for state, keys in named:
        states |= {name: state for _, name in keys}
    wanted = options.state.split(",")
    rows = [
        (name, state)
        for name, state in sorted(states.items())
        if name.startswith(options.prefix or "") and ("Any" in wanted or state in wanted)
    ]
    if not rows:
        console.log("notice", "No differences between DB and sync directory.")
    if options.format == "json":
        console.print_json({name: {"name": name, "state": state} for name, state in rows} or [])
    elif options.format == "list":
        console.print("\n".join(name for name, _ in rows))
    elif rows:
        console.print(plain_table(("Name", "State"), rows))


def core_status(drupal: Drupal, options: Namespace, console: Console) -> None:
    """Give an overview of the site; a database that is not to be had is left out of it, and no failure."""
    values: dict[str, object] = {"drupal-version": "10.3.6", "uri": "http://default", "db-driver": "pgsql"}
    try:
        with drupal.connect() as connection:
            told = connection.info
            values |= {"db-hostname": told.host, "db-port": str(told.port), "db-username": told.user}
            values |= {"db-name": told.dbname, "db-status": "Connected", "bootstrap": "Successful"}
            active = read_database(connection)
            values["install-profile"] = active.get((DEFAULT, "core.extension"), {}).get("profile")
            theme = active.get((DEFAULT, "system.theme"), {})
            values |= {"theme": theme.get("default"), "admin-theme": theme.get("admin")}
    except DrushFailure as failure:
        console.log("warning", str(failure))
    values |= {"drush-version": "13.3.3", "root": str(Path.cwd()), "site": "sites/default"}
    values |= {"files": "sites/default/files", "private": "sites/default/private", "temp": "/tmp"}  # noqa: S108  told
    values["config-sync"] = drupal.sync_directory
    shown = {name: value for name, value in values.items() if value is not None}
    if options.field:
        console.print(str(shown.get(options.field, "")))
    elif options.format == "json":
        console.print_json(shown)
    else:
        console.print(properties({name: str(value) for name, value in shown.items()}))


def rebuild(drupal: Drupal, _: Namespace, console: Console) -> None:
    """Empty every cache."""
    with drupal.connect() as connection, connection.transaction():
        tables = connection.execute(
            "select tablename from pg_tables where schemaname = current_schema() and tablename ~ '^cache_'"
        ).fetchall()
        for (name,) in tables:
            connection.execute(sql.SQL("delete from {}").format(sql.Identifier(name)))
    console.log("success", "Cache rebuild complete.")


def _check_destination(directory: Path) -> None:
    if not directory.exists():
        if not directory.parent.is_dir():
            raise DrushFailure("The destination parent directory does not exist.", source=_EXPORT)
        if not os.access(directory.parent, os.W_OK):
            raise DrushFailure("The destination parent directory is not writable.", source=_EXPORT)
    elif not directory.is_dir():
        raise DrushFailure("The destination is not a directory.", source=_EXPORT)
    elif not os.access(directory, os.W_OK):
        raise DrushFailure("The destination directory is not writable.", source=_EXPORT)


def _source(drupal: Drupal, options: Namespace, active: Objects) -> Path:
    reasons: list[str] = []
    if options.partial and "config" not in _modules(active):
        reasons.append("Enable the config module in order to use the --partial option.")
    if options.source:
        if not Path(options.source).exists():
            reasons.append("The source directory does not exist.")
        if not Path(options.source).is_dir():
            reasons.append("The source is not a directory.")
    if reasons:
        raise DrushFailure(" ".join(reasons), source=_IMPORT)
    return drupal.directory(options.source, create=False)


def _changes_table(changes: Changes) -> str:
    return table(("Collection", "Config", "Operation"), changes.rows())


def _take_lock(connection: Connection) -> bool:
    """Take Drupal's own lock, unless somebody holds it and it has not run out."""
    taken = connection.execute(
        "insert into semaphore values ('config_importer', 'drush', extract(epoch from now()) + %s) "
        "on conflict (name) do update set value = excluded.value, expire = excluded.expire "
        "where semaphore.expire < extract(epoch from now()) returning name",
        (_LOCK_SECONDS,),
    ).fetchone()
    return taken is not None


def _apply(connection: Connection, source: Objects, active: Objects, changes: Changes, console: Console) -> None:
    with connection.transaction():
        write_database(connection, source, written=(*changes.create, *changes.update), deleted=changes.delete)
        connection.execute("delete from cache_config")
    before, after = _modules(active), _modules(source)
    for done, names in (("uninstall", before - after), ("install", after - before)):
        for name in sorted(names):
            console.log("notice", f"Synchronized extensions: {done} {name}.")
    # Deletions come first, so that what is made again under another name can be.
    for done, keys in (("delete", changes.delete), ("create", changes.create), ("update", changes.update)):
        for key in keys:
            console.log("notice", f"Synchronized configuration: {done} {_told(key)}.")
    console.log("notice", "Finalizing configuration synchronization.")


def _told(key: Key) -> str:
    collection, name = key
    return f"{name} in {collection}" if collection else name


def _modules(objects: Objects) -> set[str]:
    modules = objects.get((DEFAULT, "core.extension"), {}).get("module")
    return {str(name) for name in modules} if isinstance(modules, Mapping) else set()
