"""Fixtures of a site on a server of its own, for tests that build chains and archive WAL: they change the server."""

import secrets
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.wal.position import server_time
from lc2_backup_dagster.engines.postgres.wal.receiver import WalReceiver
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.database import capture_database
from lc2_backup_dagster.operations.wal.receive import receive_wal
from lc2_backup_dagster.operations.wal.restorable_until import measure_restorable
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.fixtures_postgres import start_server
from lc2_backup_dagster_tests.operations.tiny_site import (
    OWNER,
    TinySite,
    a_directory_site,
    open_window,
    prepare_roles,
    until,
)

MakeChainSite = Callable[..., "ChainSite"]
DATABASE = "ledger"


@dataclass(frozen=True)
class ChainSite:
    """A site whose database is one table, on a server that its tests may change."""

    site: TinySite
    postgres: PostgresServer

    def write(self, *numbers: int) -> None:
        """Add entries, each with a page or so of text that does not compress to nothing."""
        rows = ", ".join(f"({number}, '{secrets.token_hex(2000)}')" for number in numbers)
        self.postgres.execute(f"INSERT INTO entries VALUES {rows}", database=DATABASE)

    def capture(self, window: Window | None = None, *, asked_at: datetime | None = None) -> Captured:
        return capture_database(
            self.site.context,
            window=window or open_window(WindowLength.HOURLY),
            asked_at=asked_at or datetime.now(UTC),
            initiator=TESTER,
        )

    def changed(self, **fields: object) -> "ChainSite":
        """Return the same site with some fields of its file changed; repository and server stay."""
        return ChainSite(self.site.changed(self.site.root, **fields), self.postgres)


def prepare_ledger(postgres: PostgresServer) -> None:
    """Make roles, database and table as a site needs them; idempotent."""
    prepare_roles(postgres)
    postgres.create_database(DATABASE, owner=OWNER)
    postgres.execute("CREATE TABLE IF NOT EXISTS entries (number int PRIMARY KEY, text text)", database=DATABASE)
    postgres.execute(
        "GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO tiny_backup",
        f"ALTER TABLE entries OWNER TO {OWNER}",
        database=DATABASE,
    )


@pytest.fixture(scope="session")
def summarizing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """PostgreSQL 17 with WAL summaries, for tests that remove some of them."""
    server = start_server(tmp_path_factory.mktemp("pg17-summaries"))
    prepare_ledger(server)
    yield server
    server.remove()


def _tidy(server: PostgresServer) -> None:
    server.execute("DELETE FROM entries", database=DATABASE)
    drop_slots(server)


@pytest.fixture
def make_chain_site(tmp_path: Path) -> Iterator[MakeChainSite]:
    """Return ``make_chain_site(server, **fields)``: a site with an empty repository on a server."""
    with ExitStack() as undo:

        def make(server: PostgresServer, **fields: object) -> ChainSite:
            root = tmp_path / f"site-{secrets.token_hex(3)}"
            library = root / "library"
            library.mkdir(parents=True)
            undo.callback(lambda: _tidy(server) if server.running else None)
            return ChainSite(a_directory_site(root, server, database=DATABASE, library=library, **fields), server)

        yield make


@pytest.fixture
def chain_site(make_chain_site: MakeChainSite, summarizing: PostgresServer) -> ChainSite:
    """A site on the shared server with WAL summaries, with an empty repository."""
    return make_chain_site(summarizing)


@contextmanager
def receiving(site: ChainSite) -> Iterator[None]:
    """Archive WAL of a site while the block runs, as ``lc2-backup wal-receive`` does; drops its slot at the end."""
    context = site.site.context
    assert context.database.wal is not None
    started: list[WalReceiver] = []
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(receive_wal, context, initiator=TESTER, on_start=started.append)
        until(lambda: bool(started) or running.done(), what="the receiver has begun")
        try:
            until(lambda: slot_is_active(site) or running.done(), what="the receiver streams")
            assert not running.done(), running.exception()
            yield
        finally:
            started[0].stop()
            running.result(timeout=60)


def slot_is_active(site: ChainSite) -> bool:
    with site.postgres.server().connect() as connection:
        return connection.execute("SELECT bool_or(active) FROM pg_replication_slots").fetchone() == (True,)


def drop_slots(postgres: PostgresServer) -> None:
    postgres.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active")


def archived_until(site: ChainSite, wanted: datetime | None = None) -> datetime:
    """Wait until WAL is archived up to now (of the server), or to a wanted time; return the time reached."""
    goal = wanted or server_time(site.postgres.server())
    found: list[datetime] = []

    def reached() -> bool:
        seen = measure_restorable(site.site.context)
        found[:] = [seen.until] if seen.until else []
        return bool(found) and found[0] >= goal and seen.proven is not None

    until(reached, what=f"WAL is archived until {goal}")
    return found[0]


@pytest.fixture
def wal_liferay(make_site: Callable[..., TinySite], postgres: PostgresServer) -> Iterator[ChainSite]:
    """A tiny Liferay of its own with a table of marks, whose site archives WAL."""
    site = make_site(own=True, database__wal__enabled=True, database__wal__partialSeconds=1)
    chain_site = ChainSite(site, postgres)
    postgres.execute("CREATE TABLE marks (mark text)", database=site.database.database)
    yield chain_site
    drop_slots(postgres)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that the account of PostgreSQL servers can enter, also when the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="lc2-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
