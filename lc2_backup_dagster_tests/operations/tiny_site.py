"""A tiny Liferay site on real servers: its site file is written, loaded and opened as a deployment does it."""

import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.demo.seed.liferay_library import seed_liferay_library
from lc2_backup_dagster.demo.seed.scale import COMPANY_ID, REPOSITORY_ID, SECOND_REPOSITORY_ID, LiferayScale
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.site import SiteRepository
from lc2_backup_dagster.sites.assembly import OpenSite, open_site
from lc2_backup_dagster.sites.loader import load_sites

MIB = 1024 * 1024
SITE = SiteId("retail", "liferay")
# The two large files are cut into two parts by the service, and copied whole by the store, one each.
SCALE = LiferayScale(size_bytes=1_000_000, documents=60, large_file_bytes=9 * MIB)
STORE_PREFIX = f"{COMPANY_ID}/{SECOND_REPOSITORY_ID}/"
SEALED_ALONE = f"{COMPANY_ID}/{REPOSITORY_ID}/unknown/1.0"
"""A file of one part that no row names."""

OWNER, BACKUP_ROLE, RESTORE_ROLE = "liferay", "tiny_backup", "tiny_restore"
OWNER_PASSWORD, BACKUP_PASSWORD, RESTORE_PASSWORD = "owner-secret-1c9e", "backup-secret-b07d", "restore-secret-42fa"
TEMPLATE = "tiny_template"

_MARGIN_SECONDS = {WindowLength.HOURLY: 45, WindowLength.DAILY: 90}


def open_window(length: WindowLength) -> Window:
    """Return the window of now; in the last moments of one, wait for the next, so that a capture ends inside it."""
    while True:
        now = datetime.now(UTC)
        window = Window.around(now, length=length)
        left = (window.end - now).total_seconds()
        if left > _MARGIN_SECONDS[length]:
            return window
        time.sleep(left + 0.1)


def prepare_roles(postgres: PostgresServer) -> None:
    """Make the roles as the demo does: an owner, a reader that may replicate, one that may create databases."""
    postgres.create_role(OWNER, password=OWNER_PASSWORD, options="LOGIN")
    readers = ["pg_read_all_data"] if postgres.major >= 14 else []
    postgres.create_role(
        BACKUP_ROLE, password=BACKUP_PASSWORD, options="LOGIN REPLICATION", member_of=[*readers, OWNER]
    )
    postgres.create_role(RESTORE_ROLE, password=RESTORE_PASSWORD, options="LOGIN CREATEDB")


def copy_database(postgres: PostgresServer, name: str, *, template: str = TEMPLATE) -> None:
    postgres.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {OWNER}")


def seed_library(folder: Path) -> None:
    store = DirectoryStore(folder, create=True)
    seed_liferay_library(store, SCALE)
    store.put(SEALED_ALONE, os.urandom(2 * MIB))


def linked_copy(source: Path, target: Path) -> Path:
    """Copy a directory store by hard links: stores only ever replace files, so neither sees what the other does."""
    shutil.copytree(source, target, copy_function=os.link)
    return target


@dataclass(frozen=True)
class TinySite:
    """A site file and what its variables hold.

    Attributes:
        root: everything of this site lies here, but for what is in buckets.
        values: the content of the site file.
        environment: the variables that it names.
        postgres: the server of its database.
    """

    root: Path
    values: Mapping[str, Any]
    environment: Mapping[str, str]
    postgres: PostgresServer

    @property
    def file(self) -> Path:
        return self.root / "sites" / "retail.yaml"

    @property
    def scratch(self) -> Path:
        return Path(self.values["database"]["scratchDirectory"])

    @property
    def bucket(self) -> Path:
        """The directory of the repository, where it is one."""
        return Path(self.values["destination"]["store"]["path"])

    @property
    def library(self) -> Path:
        return Path(self.values["files"]["source"]["store"]["path"])

    @property
    def restored(self) -> Path:
        return Path(self.values["restore"]["files"]["store"]["path"])

    @property
    def database(self) -> Server:
        """Its database, as the superuser."""
        return self.postgres.server(self.values["database"]["name"])

    @property
    def variables(self) -> dict[str, str]:
        """What the command line needs in its environment."""
        return {**self.environment, "LC2_BACKUP_SITES": str(self.file.parent)}

    def open(self) -> OpenSite:
        """Load the file and open the site."""
        loaded = load_sites([self.file], environment=self.environment)
        assert not loaded.problems, [str(problem) for problem in loaded.problems]
        return open_site(loaded.site(SITE), environment=self.environment)

    @property
    def context(self) -> SiteContext:
        return self.open().context

    @property
    def repository(self) -> SiteRepository:
        return self.context.open_repository(False)

    def write(self) -> "TinySite":
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(yaml.safe_dump(dict(self.values), sort_keys=False))
        return self

    def changed(self, root: Path, **fields: Any) -> "TinySite":
        """Return another site file with some fields changed: ``changed(root, database__port=1)``."""
        values = _deep_copy(self.values)
        for path, value in fields.items():
            *above, last = path.split("__")
            place = values
            for name in above:
                place = place.setdefault(name, {})
            if value is None:
                place.pop(last, None)
            else:
                place[last] = value
        return TinySite(root, values, dict(self.environment), self.postgres).write()

    def with_environment(self, **variables: str) -> "TinySite":
        return TinySite(self.root, self.values, {**self.environment, **variables}, self.postgres)

    def copied(self, root: Path) -> "TinySite":
        """Return a site on a copy of this one's repository, so that a test may change or damage it."""
        linked_copy(self.bucket, root / "bucket")
        return self.changed(
            root,
            destination__store__path=str(root / "bucket"),
            restore__files__store__path=str(root / "restored"),
            database__scratchDirectory=str(_made(root / "scratch")),
        )


def a_directory_site(root: Path, postgres: PostgresServer, *, database: str, library: Path, **fields: Any) -> TinySite:
    """Write the file of a site whose stores are directories."""
    stores = {
        "backups": {"kind": "directory", "path": str(root / "bucket"), "create": True},
        "library": {"kind": "directory", "path": str(library)},
        "restored": {"kind": "directory", "path": str(root / "restored"), "create": True},
    }
    site = TinySite(root, _values(root, postgres, database, stores), _environment(), postgres)
    return site.changed(root, **fields)


def an_s3_site(
    root: Path, postgres: PostgresServer, *, database: str, buckets: Mapping[str, str], access: Any, **fields: Any
) -> TinySite:
    """Write the file of a site whose stores are buckets: ``backups``, ``library`` and ``restored``."""
    stores = {
        role: {
            "kind": "s3",
            "endpoint": access.endpoint,
            "bucket": bucket,
            "accessKeyIdEnv": "TINY_S3_ACCESS_KEY_ID",
            "secretAccessKeyEnv": "TINY_S3_SECRET_ACCESS_KEY",
        }
        for role, bucket in buckets.items()
    }
    environment = _environment(TINY_S3_ACCESS_KEY_ID=access.access_key, TINY_S3_SECRET_ACCESS_KEY=access.secret_key)
    site = TinySite(root, _values(root, postgres, database, stores), environment, postgres)
    return site.changed(root, **fields)


def _values(root: Path, postgres: PostgresServer, database: str, stores: Mapping[str, Any]) -> dict[str, Any]:
    key = root / "site.key"
    if not key.exists():
        root.mkdir(parents=True, exist_ok=True)
        KeyFile.create(key)
    return {
        "apiVersion": "backup.lc2.io/v1alpha1",
        "kind": "Site",
        "project": SITE.project,
        "application": SITE.application,
        "environment": "test",
        "destination": {
            "store": stores["backups"],
            "encryption": {"key": {"kind": "file", "path": str(key)}},
            "partBytes": 4 * MIB,
        },
        "database": {
            "host": "127.0.0.1",
            "port": postgres.port,
            "name": database,
            "user": BACKUP_ROLE,
            "passwordEnv": "TINY_DB_PASSWORD",
            "sslMode": "disable",
            "scratchDirectory": str(_made(root / "scratch")),
        },
        "files": {
            "source": {"store": stores["library"]},
            "protection": "client",
            "rules": [{"prefix": STORE_PREFIX, "protection": "store"}],
        },
        "restore": {
            "database": {"user": RESTORE_ROLE, "passwordEnv": "TINY_RESTORE_PASSWORD"},
            "files": {"store": stores["restored"]},
        },
    }


def _environment(**more: str) -> dict[str, str]:
    return {"TINY_DB_PASSWORD": BACKUP_PASSWORD, "TINY_RESTORE_PASSWORD": RESTORE_PASSWORD, **more}


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _deep_copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _deep_copy(each) for name, each in value.items()}
    return [_deep_copy(each) for each in value] if isinstance(value, list) else value


def until(condition: Callable[[], bool], *, what: str, seconds: float = 120.0) -> None:
    """Wait for something that happens soon; the time bounds a failure, it is not what is tested."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so: {what}"
        time.sleep(0.02)


def nothing_left_on(postgres: PostgresServer) -> None:
    """Wait until no slot and no connection of a backup stays on the server; fail when one does."""

    def clean() -> bool:
        with postgres.server().connect() as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_stat_activity"
                " WHERE application_name = 'lc2-backup' AND pid <> pg_backend_pid())"
            ).fetchone()
        return row == (0, 0)

    until(clean, what="no slot and no connection of a backup is left")


def databases_of(postgres: PostgresServer) -> set[str]:
    with postgres.server().connect() as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database").fetchall()}


def drop_database(postgres: PostgresServer, name: str) -> None:
    if postgres.running:
        postgres.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def content_of(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, whole."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def picture_of(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return name, inode, size and time of every file below a folder: equal when nothing was changed."""
    found: dict[str, tuple[int, int, int]] = {}
    for path in sorted(folder.rglob("*")):
        with suppress(FileNotFoundError):
            status = path.stat()
            if path.is_file():
                found[str(path.relative_to(folder))] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found
