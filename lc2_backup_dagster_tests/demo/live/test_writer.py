"""The writer that lets a site live: an orderly application, whenever it dies."""

import hashlib
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from random import Random
from typing import Any

import psycopg
import pytest

from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore
from lc2_backup_dagster.demo.live import journal
from lc2_backup_dagster.demo.live.writer import LiveWriter
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster_tests.fakes import MemoryStore

Connection = psycopg.Connection[Any]


class Killed(Exception):
    """The process is gone here."""


class MortalStore(MemoryStore):
    """Lets its user die before or behind one of its writes and deletions."""

    def __init__(self) -> None:
        super().__init__()
        self.steps_left: int | None = None

    def _step(self) -> None:
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left < 0:
                raise Killed

    def put(self, key: str, body: bytes, *, create_only: bool = True) -> ObjectInfo:
        self._step()
        info = super().put(key, body, create_only=create_only)
        self._step()
        return info

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._step()
            super().delete([key])
        self._step()


def add(connection: Connection, store: ObjectStore, random: Random) -> str:
    key = f"file-{random.getrandbits(32):08x}"
    store.put(key, random.randbytes(20))
    with connection.transaction():
        connection.execute("insert into document (key) values (%s)", (key,))
    return f"add {key}"


def replace(connection: Connection, store: ObjectStore, random: Random) -> str:
    key = f"file-{random.getrandbits(32):08x}"
    store.put(key, random.randbytes(20))
    row = connection.execute("select id, key from document order by id limit 1").fetchone()
    assert row is not None
    connection.execute("update document set key = %s where id = %s", (key, row[0]))
    store.delete([row[1]])
    return f"replace {row[1]}"


def rewrite(connection: Connection, store: ObjectStore, random: Random) -> str:
    row = connection.execute("select id, key from document order by id limit 1").fetchone()
    assert row is not None
    store.put(row[1], random.randbytes(20), create_only=False)
    connection.execute("update document set changed = changed + 1 where id = %s", (row[0],))
    return f"rewrite {row[1]}"


def delete(connection: Connection, store: ObjectStore, random: Random) -> str:
    row = connection.execute("delete from document where id = (select min(id) from document) returning key").fetchone()
    assert row is not None
    store.delete([row[0]])
    return f"delete {row[0]}"


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Server]:
    name = f"live_{secrets.token_hex(4)}"
    postgres.create_database(name)
    postgres.execute(
        "create table document (id serial primary key, key text not null, changed int default 0)", database=name
    )
    yield postgres.server(name)
    postgres.execute(f"drop database {name} with (force)")


@pytest.fixture
def connection(database: Server) -> Iterator[Connection]:
    with database.connect() as opened:
        journal.prepare(opened)
        yield opened


def live(database: Server, store: ObjectStore, change: Any, *, seed: int = 1, steps: int = 1) -> None:
    """Be a writer from its start to the end of some steps."""
    with database.connect() as own, database.connect() as notes:
        writer = LiveWriter(own, notes, store, change=change, random=Random(seed))
        writer.clean_up()
        for _ in range(steps):
            writer.step()


def keys_of(connection: Connection) -> set[str]:
    return {key for (key,) in connection.execute("select key from document").fetchall()}


def digests(store: MemoryStore) -> dict[str, str]:
    return {info.key: hashlib.sha256(store.get(info.key)).hexdigest() for info in store.list()}


def contents_by_the_journal(connection: Connection) -> Mapping[str, str]:
    query = "select key, after from lc2_live.change_file order by number"
    contents = dict(connection.execute(query).fetchall())
    return {key: after for key, after in contents.items() if after is not None}


def test_the_journal_tells_what_every_file_holds(database: Server, connection: Connection):
    store = MortalStore()
    for number, change in enumerate((add, add, replace, rewrite, add, delete)):
        live(database, store, change, seed=number)
    assert keys_of(connection) == digests(store).keys()
    assert contents_by_the_journal(connection) == digests(store)
    end = journal.journal_end(connection)
    assert end is not None
    assert end.number == 6
    assert journal.pending(connection) == {}
    changed = journal.contents_since(connection, 5)
    ((key, contents),) = changed.items()
    assert None in contents
    assert len(contents) == 2
    assert key not in digests(store)


def test_a_change_and_its_note_are_one_transaction(database: Server, connection: Connection):
    live(database, MortalStore(), add)
    end = journal.journal_end(connection)
    assert end is not None
    row = connection.execute("select xmin::text::bigint from document").fetchone()
    entry = connection.execute("select xmin::text::bigint from lc2_live.change").fetchone()
    assert row is not None
    # The row was written in a savepoint of the transaction that the journal names.
    assert entry == (end.transaction_id,)
    assert row[0] >= end.transaction_id


@pytest.mark.parametrize("change", [add, replace, rewrite, delete])
@pytest.mark.parametrize("steps", range(5))
def test_a_writer_that_dies_anywhere_leaves_no_row_without_its_file(change, steps, database, connection):
    store = MortalStore()
    live(database, store, add, steps=2)
    store.steps_left = steps
    with suppress(Killed):
        live(database, store, change, seed=7)
    assert keys_of(connection) <= digests(store).keys()

    store.steps_left = None
    live(database, store, add, seed=9)
    assert keys_of(connection) == digests(store).keys()
    assert contents_by_the_journal(connection) == digests(store)
    assert journal.pending(connection) == {}


def test_no_change_begins_while_a_site_is_held_still(database: Server, connection: Connection):
    store = MortalStore()
    with journal.still(connection):
        other = threading.Thread(target=live, args=(database, store, add), daemon=True)
        other.start()
        other.join(0.3)
        assert other.is_alive()
        assert not keys_of(connection)
    other.join(20)
    assert not other.is_alive()
    assert len(keys_of(connection)) == 1
