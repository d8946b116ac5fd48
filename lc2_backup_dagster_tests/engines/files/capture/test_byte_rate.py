from concurrent.futures import ThreadPoolExecutor

import pytest

from lc2_backup_dagster.engines.files.capture.byte_rate import ByteRate
from lc2_backup_dagster.engines.files.capture.copying import PART_BYTES
from lc2_backup_dagster.engines.files.manifest.entry import Protection
from lc2_backup_dagster_tests.engines.files.library import Library, fill
from lc2_backup_dagster_tests.fakes import MemoryStore


class Time:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waited: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


def a_rate(time: Time, bytes_per_second: int | None = 1000) -> ByteRate:
    return ByteRate(bytes_per_second, wait=time.wait, monotonic=lambda: time.now)


def test_bytes_pass_at_the_rate():
    time = Time()
    rate = a_rate(time)
    for _ in range(20):
        rate.take(500)
    assert time.now - 100.0 == 10.0


def test_a_short_pause_is_made_up_for_and_a_long_one_is_not():
    time = Time()
    rate = a_rate(time)
    time.now += 3600
    rate.take(500)
    assert time.waited == []
    rate.take(500)
    assert time.waited == [0.5]


def test_without_a_limit_nobody_waits():
    time = Time()
    a_rate(time, None).take(1 << 40)
    assert time.waited == []


def test_threads_share_the_rate():
    waited: list[float] = []
    rate = ByteRate(1000, wait=waited.append, monotonic=lambda: 0.0)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(rate.take, [250] * 40))
    assert max(waited) == 10.0


@pytest.mark.parametrize("protection", list(Protection))
def test_every_byte_that_a_capture_takes_passes_the_limit(
    library: Library, source: MemoryStore, protection: Protection, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    monkeypatch.setattr(ByteRate, "take", lambda self, count: taken.append(count))
    expected: list[tuple[int, int]] = []
    fill(source, {"small": b"1234", "empty": b"", "large": bytes(PART_BYTES + 5)})
    library.protection_of = lambda key: protection
    library.capture(expect=lambda objects, size_bytes: expected.append((objects, size_bytes)))
    assert sum(taken) == library.done.counts.copied_bytes == PART_BYTES + 9
    assert expected == [(3, PART_BYTES + 9)]
