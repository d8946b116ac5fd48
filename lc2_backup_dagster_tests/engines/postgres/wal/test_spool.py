"""The spool between archive and recovering server: whole files only, and no failure looks like absence (L-16, L-28)."""

import shlex
import subprocess
import threading
from pathlib import Path

import pytest

from lc2_backup_dagster.engines.postgres.servers.account import run_as, server_account
from lc2_backup_dagster.engines.postgres.wal.spool import WalSpool
from lc2_backup_dagster.model.errors import StoreUnavailable
from lc2_backup_dagster_tests.engines.postgres.asking import until

SEGMENT = 16 * 1024 * 1024


class Archive:
    """Segments ``a`` to ``e``; asked for what is absent it says so, asked for ``broken`` it fails."""

    def __init__(self):
        self.asked: list[str] = []
        self.slow = threading.Event()

    def fetch(self, name):
        self.asked.append(name)
        if name == "broken":
            raise StoreUnavailable("503")
        if name == "slow":
            self.slow.wait(20)
        return name.encode() * 100_000 if len(name) == 1 or name == "slow" else None

    def upcoming(self, name):
        return "abcdefghijklmnop"["abcdefghijklmnop".index(name) + 1 :] if len(name) == 1 else ""


@pytest.fixture
def archive():
    return Archive()


@pytest.fixture
def spool(archive):
    with WalSpool(archive, account=server_account(), segment_bytes=SEGMENT) as spool:
        yield spool


def command(spool, name, target):
    """Return what runs restore_command as a server does: as the child of a process of the same account."""
    told = spool.restore_command.replace("%f", name).replace("%p", shlex.quote(str(target)))
    return ["/bin/sh", "-c", f"/bin/sh -c {shlex.quote(told)}; exit $?"]


def restore(spool, name, target):
    return subprocess.run(command(spool, name, target), check=False, timeout=30, **run_as(server_account())).returncode


@pytest.fixture
def target(spool):
    """A file in a folder where the account may write."""
    return Path(shlex.split(spool.restore_command)[2]).with_name("RECOVERYXLOG")


def test_a_file_arrives_whole_and_those_behind_it_are_fetched_ahead(spool, archive, target):
    assert restore(spool, "a", target) == 0
    assert target.read_bytes() == b"a" * 100_000
    until(lambda: len(spool.fetched) == 9, what="eight are fetched ahead")
    assert sorted(archive.asked) == list("abcdefghi")
    assert restore(spool, "b", target) == 0
    until(lambda: "j" in archive.asked, what="the next one is fetched")
    assert archive.asked.count("b") == 1


def test_what_is_absent_is_told_apart_from_what_failed(spool, target):
    assert restore(spool, "absent", target) == 1
    assert restore(spool, "broken", target) > 125
    assert isinstance(spool.failure, StoreUnavailable)
    assert not target.exists()


def test_a_slow_file_is_waited_for(spool, archive, target):
    child = subprocess.Popen(command(spool, "slow", target), **run_as(server_account()))
    until(lambda: "slow" in archive.asked, what="it was asked for")
    assert child.poll() is None
    archive.slow.set()
    assert child.wait(20) == 0
    assert target.stat().st_size == 400_000


def test_a_file_that_cannot_be_moved_is_not_taken_for_absent(spool, target):
    assert restore(spool, "a", "/nonexistent/RECOVERYXLOG") > 125
