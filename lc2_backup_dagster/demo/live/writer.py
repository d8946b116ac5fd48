"""Changes a living site, one change after the other, in an application's order.

Files come first and the rows that name them after; rows go first and their files after. Killed at any moment it leaves
a file that no row names, at worst, and says in the database which: the next writer removes it. A row that names no file
never exists.
"""

import threading
from collections.abc import Callable
from random import Random
from typing import Any

import psycopg

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.demo.live import journal
from lc2_backup_dagster.demo.live.staged_store import StagedStore, content_of
from lc2_backup_dagster.engines.postgres.servers.server import Server

Connection = psycopg.Connection[Any]
Change = Callable[[Connection, ObjectStore, Random], str]


class LiveWriter:
    """Whoever changes one site.

    Args:
        connection: to the site's database as its owner, in autocommit mode.
        notes: another connection of the same kind, for what is said whether a change commits or not.
        store: the site's files.
        change: makes one change; it may begin transactions inside the one around it.
        random: decides what.
    """

    def __init__(
        self, connection: Connection, notes: Connection, store: ObjectStore, *, change: Change, random: Random
    ) -> None:
        self._connection = connection
        self._notes = notes
        self._store = store
        self._change = change
        self._random = random

    def clean_up(self) -> None:
        """Prepare the journal, and put right what a writer that died has left."""
        journal.prepare(self._connection)
        with journal.still(self._connection):
            left = journal.pending(self._connection)
            unnamed = [key for key, before in left.items() if before is None]
            self._store.delete(unnamed)
            journal.settle(self._connection, unnamed)
            # Written over, and the row never followed: the new content stays, as in the application.
            rewritten = {
                key: journal.FileChange(before, content_of(self._store, key))
                for key, before in left.items()
                if before is not None
            }
            if rewritten:
                with self._connection.transaction():
                    journal.record(self._connection, "a writer died while it wrote over files", rewritten)

    def step(self) -> str:
        """Make one change; return what it was."""
        with journal.still(self._connection):
            staged = StagedStore(self._store, lambda key, before: journal.announce(self._notes, key, before))
            with self._connection.transaction():
                what = self._change(self._connection, staged, self._random)
                journal.record(self._connection, what, staged.changes)
            staged.carry_out()
            journal.settle(self._notes, staged.deleted)
            return what


def write_until(
    stopping: threading.Event,
    database: Server,
    store: ObjectStore,
    *,
    change: Change,
    random: Random,
    pause: Callable[[], float],
) -> None:
    """Change a site again and again, until told to stop; a change that has begun is ended first.

    Args:
        stopping: set to end this.
        database: as its owner.
        store: its files.
        change: makes one change.
        random: decides what, and when.
        pause: tells the seconds until the next change, on average.

    Raises:
        BackupError, psycopg.Error: a server is away; what was half done is put right by the next writer.
    """
    with database.connect() as connection, database.connect() as notes:
        writer = LiveWriter(connection, notes, store, change=change, random=random)
        writer.clean_up()
        while not stopping.is_set():
            writer.step()
            stopping.wait(random.uniform(0.5, 1.5) * pause())
