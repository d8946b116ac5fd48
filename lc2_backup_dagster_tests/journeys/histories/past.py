"""A server with a past: everything that happens to it happens one by one, and the truth is noted after each step.

What is noted is the whole content of the database with the time and the position at which it was true. A restore to
that time or position must bring exactly that back.
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random

from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.servers.account import give_to, reachable_directory, server_account
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster_tests.engines.postgres.asking import until
from lc2_backup_dagster_tests.operations.fixtures_chains import DATABASE

_TABLES = """
    SELECT c.relname::text, coalesce(ts.spcname, 'pg_default')::text
    FROM pg_class c LEFT JOIN pg_tablespace ts ON ts.oid = c.reltablespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND c.relnamespace = 'public'::regnamespace ORDER BY 1
"""
_ROWS = "SELECT count(*), md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) FROM {table} t"
_LARGE_OBJECTS = "SELECT oid::bigint, md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY 1"


@dataclass(frozen=True)
class Truth:
    """What the database held, and when.

    Attributes:
        after: the step that had just been made.
        time: the server's time, after the step had been committed.
        lsn: the position by then.
        timeline: the timeline of that position.
        content: of every table and large object.
    """

    after: str
    time: datetime
    lsn: str
    timeline: int
    content: tuple[object, ...]


def content_of(server: Server) -> tuple[object, ...]:
    """Return the content of every table that survives a crash, with its tablespace, and of every large object."""
    with server.connect() as connection:
        tables = [
            (table, tablespace, connection.execute(_ROWS.format(table=table).encode()).fetchone())
            for table, tablespace in connection.execute(_TABLES).fetchall()
        ]
        return (*tables, *connection.execute(_LARGE_OBJECTS).fetchall())


@dataclass
class Past:
    """The server and what was true of it.

    Attributes:
        postgres: a server of this history alone.
        random: chooses rows.
        folder: for a tablespace.
        truths: in order.
    """

    postgres: PostgresServer
    random: Random
    folder: Path
    truths: list[Truth] = field(default_factory=list)
    _number: int = 0

    def begin(self) -> None:
        """Make a second tablespace and some rows."""
        account = server_account()
        place = reachable_directory(self.folder / "extra", account)
        give_to(account, place)
        self.postgres.execute(f"CREATE TABLESPACE extra LOCATION '{place}'")
        self._sql("CREATE UNLOGGED TABLE fleeting AS SELECT generate_series(1, 100) AS n")
        self.insert()
        self.note("begin")

    @property
    def tablespace(self) -> int:
        """Oid of the second tablespace."""
        with self.postgres.server().connect() as connection:
            row = connection.execute("SELECT oid::int FROM pg_tablespace WHERE spcname = 'extra'").fetchone()
        assert row is not None
        return row[0]

    def note(self, after: str) -> Truth:
        """Note what is true now."""
        server = self.postgres.server(DATABASE)
        content = content_of(server)
        with server.connect() as connection:
            row = connection.execute(
                "SELECT clock_timestamp(), pg_current_wal_insert_lsn()::text, "
                "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int, pg_sleep(0.01)"
            ).fetchone()
        assert row is not None
        truth = Truth(after, row[0], row[1], row[2], content)
        self.truths.append(truth)
        return truth

    def insert(self) -> None:
        """Add rows, some of them large enough to be stored out of line."""
        rows = []
        for _ in range(self.random.randint(1, 60)):
            self._number += 1
            rows.append(f"({self._number}, '{secrets.token_hex(self.random.choice((20, 400, 3000)))}')")
        self._sql(f"INSERT INTO entries (number, text) VALUES {', '.join(rows)}")

    def update(self) -> None:
        """Change some rows."""
        step = self.random.randint(2, 5)
        self._sql(f"UPDATE entries SET text = md5(text || clock_timestamp()::text) WHERE number % {step} = 0")

    def delete(self) -> None:
        """Remove some rows, and their pages where they lie at the end."""
        self._sql(f"DELETE FROM entries WHERE number > {self._number * self.random.random():.0f}", "VACUUM entries")

    def alter(self) -> None:
        """Change the shape of the table."""
        self._sql(f"ALTER TABLE entries ADD COLUMN c{secrets.token_hex(4)} int DEFAULT {self.random.randint(1, 99)}")

    def create_or_drop(self) -> None:
        """Make another table, or drop it."""
        with self.postgres.server(DATABASE).connect() as connection:
            exists = connection.execute("SELECT to_regclass('other') IS NOT NULL").fetchone() == (True,)
        self._sql("DROP TABLE other" if exists else "CREATE TABLE other AS SELECT * FROM entries")

    def rewrite(self) -> None:
        """Write the table anew into other files."""
        self._sql("VACUUM FULL entries")

    def truncate(self) -> None:
        """Empty the table and begin it anew."""
        self._sql("TRUNCATE entries")
        self.insert()

    def move(self) -> None:
        """Move the table to the other tablespace."""
        self._sql(f"ALTER TABLE entries SET TABLESPACE {self.random.choice(('extra', 'pg_default'))}")

    def large_object(self) -> None:
        """Add a large object."""
        self._sql(f"SELECT lo_from_bytea(0, '\\x{secrets.token_hex(self.random.randint(1, 9000))}')")

    def database(self) -> None:
        """Make a database by copying files, and drop an earlier one."""
        name = f"copy_{secrets.token_hex(3)}"
        self.postgres.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
        if self.random.random() < 0.5:
            self.postgres.execute(f"DROP DATABASE {name}")

    def crash(self) -> None:
        """Lose power."""
        self.postgres.kill()
        self.postgres.start()

    def promote(self) -> None:
        """Come back on a new timeline, as a standby that took over does."""
        self.postgres.stop()
        signal = self.postgres.data_directory / "recovery.signal"
        signal.touch()
        give_to(server_account(), signal)
        self.postgres.start()
        until(lambda: not self._is_in_recovery(), what="the server has taken over")

    def _is_in_recovery(self) -> bool:
        with self.postgres.server().connect() as connection:
            return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)

    def _sql(self, *statements: str) -> None:
        self.postgres.execute(*statements, database=DATABASE)


STEPS = (
    "insert", "update", "delete", "alter", "create_or_drop", "rewrite", "truncate", "move", "large_object", "database",
    "crash", "promote",
)  # fmt: skip
