"""Lanes: all of one backup before anything of the next, the first failure stops all."""

import io
import random
import tarfile
import threading
import time

import pytest

from lc2_backup_dagster.engines.postgres.ports import no_progress
from lc2_backup_dagster.engines.postgres.restore.lanes import LANES, Piece, unpack_in_lanes
from lc2_backup_dagster.engines.postgres.restore.tar_ranges import TarRange
from lc2_backup_dagster.model.errors import IntegrityError, PartCorrupt
from lc2_backup_dagster_tests.engines.postgres.base.test_tar_index import a_tar


class Recorded:
    """Takes the place of a data directory; remembers which lane took which member, in order."""

    def __init__(self):
        self.taken: list[tuple[int, str]] = []
        self.threads: set[str] = set()
        self.open = 0

    def lane(self, *, number: int, prefix: str):
        return RecordedLane(self, number)


class RecordedLane:
    def __init__(self, recorded: Recorded, number: int):
        self.recorded, self.number = recorded, number

    def __enter__(self):
        self.recorded.open += 1
        return self

    def __exit__(self, *error):
        self.recorded.open -= 1

    def member(self, member):
        time.sleep(random.random() / 500)
        self.recorded.taken.append((self.number, member.path))
        self.recorded.threads.add(threading.current_thread().name)


def pieces(number: int, count: int) -> list[Piece]:
    made = []
    for each in range(count):
        body = a_tar(tarfile.GNU_FORMAT, [(f"{each}/{name}", tarfile.REGTYPE, b"x" * 100, 0) for name in range(5)])
        made.append(Piece(number, "", len(body), lambda body=body: io.BytesIO(body)))
    return made


def test_everything_of_one_backup_comes_before_anything_of_the_next():
    recorded, seen = Recorded(), []
    unpack_in_lanes([pieces(2, 1), pieces(1, 7), pieces(0, 5)], recorded, total_bytes=None,
                    on_progress=lambda done, total: seen.append(done))  # fmt: skip
    assert [number for number, _ in recorded.taken] == [2] * 5 + [1] * 35 + [0] * 25
    assert len(set(recorded.taken)) == 65
    assert len(recorded.threads) == LANES
    assert seen == sorted(seen)
    assert recorded.open == 0


class Breaking(io.BytesIO):
    def read(self, size=-1, /):
        raise PartCorrupt("part 7 is damaged")


@pytest.mark.parametrize("backup", [0, 1])
def test_the_first_failure_stops_every_lane(backup):
    """Also those that wait for their turn; nothing of a later backup is unpacked."""
    recorded = Recorded()
    backups = [pieces(1, 4), pieces(0, 40)]
    backups[backup].insert(1, Piece(0, "", 1 << 30, lambda: Breaking()))
    with pytest.raises(PartCorrupt, match="part 7"):
        unpack_in_lanes(backups, recorded, total_bytes=None, on_progress=no_progress)
    assert len(recorded.taken) < 60
    if backup == 0:
        assert {number for number, _ in recorded.taken} <= {1}
    assert recorded.open == 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("restore")]


def test_a_failure_of_whoever_listens_stops_every_lane():
    def refuse(done, total):
        raise KeyboardInterrupt

    recorded = Recorded()
    with pytest.raises(KeyboardInterrupt):
        unpack_in_lanes([pieces(0, 40)], recorded, total_bytes=None, on_progress=refuse)
    assert recorded.open == 0


def test_a_range_that_is_shorter_than_promised_is_refused():
    [piece] = pieces(0, 1)
    body = piece.open().read()
    short = Piece(0, "", 2048, lambda: io.BytesIO(body[:1024]), TarRange(0, 2048, is_last=False))
    with pytest.raises(IntegrityError, match="at byte 1024, not at 2048"):
        unpack_in_lanes([[short]], Recorded(), total_bytes=None, on_progress=no_progress)
