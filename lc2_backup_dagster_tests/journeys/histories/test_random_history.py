"""Random histories, backed up at random moments by processes that are sometimes killed, restored at random targets.

``LC2_TEST_HISTORIES=50`` looks at other histories than the few that every run looks at.
"""

import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lc2_backup_dagster.demo.servers.postgres import PostgresServer, wheel_bin_directory
from lc2_backup_dagster.engines.postgres.servers.account import give_to, reachable_directory, server_account
from lc2_backup_dagster.engines.postgres.servers.scratch import started
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.errors import TargetUnreachable
from lc2_backup_dagster.model.recovery_target import IMMEDIATE, RecoveryTarget
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.restore.server import restore_server
from lc2_backup_dagster.operations.verify.verify import verify_backup
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.journeys.bad_days.errand import Ended, Errand, Place, Running
from lc2_backup_dagster_tests.journeys.histories.past import STEPS, Past, Truth, content_of
from lc2_backup_dagster_tests.operations.fixtures_chains import DATABASE, prepare_ledger
from lc2_backup_dagster_tests.operations.tiny_site import TinySite, a_directory_site, open_window

_ASKED = int(os.environ.get("LC2_TEST_HISTORIES", "0"))
_CAPTURE_DEATHS = [
    Place("put log/", 1), Place("put .*/base.tar/000000"), Place("put .*/backup_manifest/"),
    Place(r"put backups/.*/manifest\.json"), Place("put log/", 2), Place("delete heartbeats/"),
]  # fmt: skip
_ARCHIVE_DEATHS = [Place("put wal/", 1), Place("put wal/", 2), Place("put wal/", 4)]
_SETTINGS = {
    "shared_buffers": "32MB", "autovacuum": "off", "restore_command": "false", "wal_keep_size": "0",
    "checkpoint_timeout": "30s",
}  # fmt: skip


@dataclass
class Protected:
    """A past that is backed up.

    Attributes:
        past: what happens.
        site: its site.
        folder: of this history.
        backups: backup id → what was true when it was taken.
    """

    past: Past
    site: TinySite
    folder: Path
    backups: dict[str, Truth]
    numbers: Iterator[int]

    def capture(self) -> None:
        ended = self.run("database")
        assert ended.code == 0, ended.told
        self.backups[ended.told["backup_id"]] = self.past.note("capture")

    def capture_killed(self) -> None:
        self.run("database", die_at=self.past.random.choice(_CAPTURE_DEATHS))
        for backup in self.site.repository.backups(Component.DATABASE) if self.backups else ():
            # It may have been killed after its commit.
            self.backups.setdefault(backup.backup_id, self.past.note("killed capture"))

    def archive(self) -> None:
        ended = self.run("receive_wal")
        assert ended.code == 0, ended.told

    def archive_killed(self) -> None:
        self.run("receive_wal", die_at=self.past.random.choice(_ARCHIVE_DEATHS))

    def run(self, verb: str, **errand: Any) -> Ended:
        open_window(WindowLength.HOURLY)
        result = self.folder / f"errand-{next(self.numbers)}.json"
        running = Running(Errand(self.site.file, dict(self.site.environment), result, verb, **errand))
        try:
            return running.end()
        finally:
            running.close()

    def restored(self, target: RecoveryTarget, backup_id: str | None = None) -> tuple[object, ...]:
        """Restore into a new directory, start it, and return its content."""
        account = server_account()
        place = reachable_directory(self.folder / f"restored-{secrets.token_hex(3)}", account)
        elsewhere = place / "extra"
        elsewhere.mkdir(mode=0o700)
        give_to(account, elsewhere)
        done = restore_server(
            self.site.context,
            backup_id,
            target_directory=place / "data",
            target=target,
            tablespaces={self.past.tablespace: elsewhere},
            initiator=TESTER,
        )
        with started(done.base.directory, database=DATABASE, fsync=False) as server:
            return content_of(server)


_MEASURES = ("capture", "capture", "capture_killed", "archive", "archive_killed")


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[int, int], Protected]]:
    """Return ``begin(major, seed)``: a new server with a site, a first backup and a slot."""
    with ExitStack() as stack:

        def make(major: int, seed: int) -> Protected:
            folder = tmp_path / secrets.token_hex(4)
            folder.mkdir()
            server = PostgresServer(
                folder / "server", password="superuser-secret", bin_directory=wheel_bin_directory(major),
                port=_free_port(), fsync=False, settings=_SETTINGS,
            )  # fmt: skip
            stack.callback(server.remove)
            server.start()
            prepare_ledger(server)
            library = folder / "library"
            library.mkdir()
            site = a_directory_site(
                folder, server, database=DATABASE, library=library,
                database__wal={"enabled": True}, policies__chains={"maxLength": 4},
            )  # fmt: skip
            past = Past(server, Random(seed), folder)
            protected = Protected(past, site, folder, {}, count())
            protected.archive()
            past.begin()
            protected.capture()
            return protected

        yield make


@settings(
    max_examples=_ASKED or 2,
    derandomize=not _ASKED,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_every_moment_of_a_random_history_comes_back_as_it_was(begin, data):
    major = data.draw(st.sampled_from((17, 18)), label="major")
    protected = begin(major, data.draw(st.integers(0, 2**32), label="seed"))
    past = protected.past
    for step in data.draw(st.lists(st.sampled_from((*STEPS, *_MEASURES)), min_size=8, max_size=16), label="steps"):
        if step in STEPS:
            getattr(past, step)()
            past.note(step)
        else:
            getattr(protected, step)()
    past.insert()
    protected.archive()

    backups = protected.site.repository.backups(Component.DATABASE)
    assert backups[0].kind is BackupKind.FULL
    for backup in backups[1:]:
        assert (backup.kind is BackupKind.FULL) == (backup.parent is None)
    assert not [each.damages for each in verify_backup(protected.site.context, backups[-1].backup_id) if each.damages]

    first = next(iter(protected.backups.values()))
    within = past.truths[past.truths.index(first) :]
    one, other = (data.draw(st.sampled_from(within), label=f"restored {label}") for label in ("time", "position"))
    assert protected.restored(RecoveryTarget.parse("time", to_text(one.time))) == one.content, one
    at = RecoveryTarget.parse("lsn", other.lsn, timeline=other.timeline)
    assert protected.restored(at) == other.content, other
    backup_id = data.draw(st.sampled_from(sorted(protected.backups)), label="backup")
    assert protected.restored(IMMEDIATE, backup_id) == protected.backups[backup_id].content

    too_early = RecoveryTarget.parse("time", to_text(past.truths[0].time - timedelta(minutes=5)))
    with pytest.raises(TargetUnreachable):
        protected.restored(too_early)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
