"""Real PostgreSQL servers for tests, one per session and major version.

Register with ``pytest_plugins = ["lc2_backup_dagster_tests.fixtures_postgres"]`` in the top ``conftest.py``: a
plugin's session fixtures exist once, imported ones once per importing file.
"""

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lc2_backup_dagster.demo.servers.postgres import PostgresServer, wheel_bin_directory
from lc2_backup_dagster.engines.postgres.servers.server import Server

BACKUP_ROLE = "lc2_backup"
BACKUP_PASSWORD = "backup-secret-7f3a"
_TEST_SETTINGS = {"shared_buffers": "32MB", "max_wal_size": "256MB", "autovacuum": "off", "full_page_writes": "on"}


def start_server(state: Path, *, bin_directory: Path | None = None) -> PostgresServer:
    """Start a throw-away server with the least-privilege role that backups use."""
    server = PostgresServer(
        state,
        password="superuser-secret-" + secrets.token_hex(4),
        bin_directory=bin_directory,
        fsync=False,
        settings=_TEST_SETTINGS,
    )
    server.start()
    readers = ["pg_read_all_data"] if server.major >= 14 else []
    server.create_role(BACKUP_ROLE, password=BACKUP_PASSWORD, options="LOGIN REPLICATION BYPASSRLS", member_of=readers)
    return server


def backup_server(server: PostgresServer, database: str = "postgres") -> Server:
    """Return the address of a database as the least-privilege backup role."""
    return server.server(database, user=BACKUP_ROLE, password=BACKUP_PASSWORD)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """PostgreSQL 17 with roles ``postgres`` and ``lc2_backup``. Shared: make a database of your own."""
    server = start_server(tmp_path_factory.mktemp("pg17"))
    yield server
    server.remove()


@pytest.fixture(scope="session")
def postgres_18(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """PostgreSQL 18, otherwise like ``postgres``."""
    server = start_server(tmp_path_factory.mktemp("pg18"), bin_directory=wheel_bin_directory(18))
    yield server
    server.remove()


@pytest.fixture(scope="session")
def postgres_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[int], PostgresServer]]:
    """Return ``postgres_of(major) -> PostgresServer``; each is started when first asked for, once in a session.

    A test that asks for a major below 17 is skipped where it is not installed: mark it ``majors``.
    """
    started: dict[int, PostgresServer] = {}
    with ExitStack() as undo:

        def of(major: int) -> PostgresServer:
            if major >= 17:
                return request.getfixturevalue("postgres" if major == 17 else f"postgres_{major}")
            if major not in started:
                programs = (majors_directory() or Path("/nowhere")) / f"{major}/bin"
                if not (programs / "postgres").exists():
                    pytest.skip(f"LC2_TEST_POSTGRES_MAJORS has no {major}/bin: PostgreSQL {major} is NOT tested")
                server = start_server(tmp_path_factory.mktemp(f"pg{major}"), bin_directory=programs)
                undo.callback(server.remove)
                started[major] = server
            return started[major]

        yield of


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the account of PostgreSQL servers can enter and write, also when the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="lc2-test-", dir="/tmp") as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.fixture
def make_database() -> Iterator[Callable[..., Server]]:
    """Return ``make_database(server, *statements) -> Server`` (as superuser); dropped after the test."""
    with ExitStack() as undo:

        def make(server: PostgresServer, *statements: str) -> Server:
            name = f"test_{secrets.token_hex(5)}"
            server.create_database(name)

            def drop() -> None:
                if server.running:
                    server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

            undo.callback(drop)
            server.execute(*statements, database=name)
            return server.server(name)

        yield make


def majors_directory() -> Path | None:
    """Return the directory of further majors (``<major>/bin`` below it), or None when there is none."""
    named = os.environ.get("LC2_TEST_POSTGRES_MAJORS")
    return Path(named) if named else None
