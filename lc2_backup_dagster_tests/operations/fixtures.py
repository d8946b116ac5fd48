"""Fixtures of a tiny site, shared by the tests of operations, command line and bad days.

A plugin, so that what takes long is made once in a session, however many folders use it: the ``conftest.py`` of each
imports it when it is loaded (``pytest_plugins`` is allowed in the top one only).
"""

import os
import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.aws.client import S3Access
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.demo.seed.liferay_changes import LiferayChanges, make_changes
from lc2_backup_dagster.demo.seed.liferay_database import seed_liferay_database
from lc2_backup_dagster.demo.seed.liferay_library import seed_liferay_library
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.bind_recovery_point import bind_recovery_point
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.database import capture_database
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster.operations.capture.files import capture_site_files
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.tiny_site import (
    OWNER,
    OWNER_PASSWORD,
    SCALE,
    TEMPLATE,
    TinySite,
    a_directory_site,
    an_s3_site,
    copy_database,
    drop_database,
    linked_copy,
    open_window,
    prepare_roles,
    seed_library,
)

MakeSite = Callable[..., TinySite]


@dataclass(frozen=True)
class BackedUp:
    """A site with one backup of each kind. Its repository is read only: change a ``site.copied(…)``.

    The database and the library are as of ``dump`` and ``files``; ``full`` is a files backup from before ``changes``.
    """

    site: TinySite
    changes: LiferayChanges
    base: Captured
    full: Captured
    dump: Captured
    files: Captured
    point: Captured


@pytest.fixture(scope="session")
def tiny_template(postgres: PostgresServer) -> str:
    """Name of a seeded database that is only ever copied."""
    prepare_roles(postgres)
    postgres.create_database(TEMPLATE, owner=OWNER)
    # Rights on functions belong to a database: granted here, every copy of it has them.
    postgres.execute("GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO tiny_backup", database=TEMPLATE)
    seed_liferay_database(postgres.server(TEMPLATE, user=OWNER, password=OWNER_PASSWORD), SCALE)
    return TEMPLATE


@pytest.fixture(scope="session")
def tiny_database(postgres: PostgresServer, tiny_template: str) -> str:
    """Name of a seeded database that tests share; none changes it."""
    copy_database(postgres, "tiny_shared")
    return "tiny_shared"


@pytest.fixture(scope="session")
def tiny_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seeded library that tests share; none changes it."""
    folder = tmp_path_factory.mktemp("tiny-library") / "library"
    seed_library(folder)
    return folder


@pytest.fixture
def make_site(postgres: PostgresServer, tiny_database: str, tiny_library: Path, tmp_path: Path) -> Iterator[MakeSite]:
    """Return ``make_site(own=False, **fields)``: a site on directories, ``own`` with data that may be changed."""
    with ExitStack() as undo:

        def make(*, own: bool = False, **fields: object) -> TinySite:
            root = tmp_path / f"site-{secrets.token_hex(3)}"
            if not own:
                return a_directory_site(root, postgres, database=tiny_database, library=tiny_library, **fields)
            name = f"tiny_{secrets.token_hex(4)}"
            copy_database(postgres, name)
            undo.callback(drop_database, postgres, name)
            library = linked_copy(tiny_library, root / "library")
            return a_directory_site(root, postgres, database=name, library=library, **fields)

        yield make


@pytest.fixture
def site(make_site: MakeSite) -> TinySite:
    """A site on directories with an empty repository. Its database and library are shared: do not change them."""
    return make_site()


@pytest.fixture(scope="session")
def tiny_bucket(make_bucket: Callable[..., str], s3_access: S3Access) -> str:
    """A bucket with a seeded library that tests share; none changes it."""
    from lc2_backup_dagster.clouds.aws.client import S3Connection
    from lc2_backup_dagster.clouds.aws.store import S3Store

    name = make_bucket()
    connection = S3Connection(s3_access)
    try:
        store = S3Store(connection, name)
        seed_liferay_library(store, SCALE)
        store.put("20097/20121/unknown/1.0", os.urandom(2 * 1024 * 1024))
    finally:
        connection.close()
    return name


@pytest.fixture
def make_s3_site(
    postgres: PostgresServer,
    tiny_database: str,
    tiny_bucket: str,
    make_bucket: Callable[..., str],
    s3_access: S3Access,
    tmp_path: Path,
) -> MakeSite:
    """Return ``make_s3_site(access=…, backups=bucket, **fields)``: a site on new buckets; its library is shared."""

    def make(*, access: S3Access = s3_access, backups: str | None = None, **fields: object) -> TinySite:
        buckets = {"backups": backups or make_bucket(), "library": tiny_bucket, "restored": make_bucket()}
        root = tmp_path / f"site-{secrets.token_hex(3)}"
        return an_s3_site(root, postgres, database=tiny_database, buckets=buckets, access=access, **fields)

    return make


@pytest.fixture(scope="session")
def backed_up(
    postgres: PostgresServer, tiny_template: str, tiny_library: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BackedUp]:
    """A site on directories, backed up twice, with changes in between."""
    root = tmp_path_factory.mktemp("backed-up")
    copy_database(postgres, "tiny_backed_up")
    library = linked_copy(tiny_library, root / "library")
    site = a_directory_site(root, postgres, database="tiny_backed_up", library=library)
    context = site.context
    base = capture_database(
        context, window=open_window(WindowLength.HOURLY), asked_at=datetime.now(UTC), initiator=TESTER
    )
    day = open_window(WindowLength.DAILY)
    full = capture_site_files(context, window=day, asked_at=datetime.now(UTC), initiator=TESTER)
    with postgres.server("tiny_backed_up", user=OWNER, password=OWNER_PASSWORD).connect() as connection:
        changes = make_changes(connection, DirectoryStore(library), random=random.Random(1))
    dump = capture_database_dump(context, window=day, asked_at=datetime.now(UTC), initiator=TESTER)
    files = capture_site_files(context, window=day, asked_at=datetime.now(UTC), initiator=TESTER)
    point = bind_recovery_point(context, window=day, initiator=TESTER)
    yield BackedUp(site, changes, base, full, dump, files, point)
    drop_database(postgres, "tiny_backed_up")
