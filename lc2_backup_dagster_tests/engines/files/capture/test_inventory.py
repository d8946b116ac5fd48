from datetime import timedelta
from pathlib import Path

import pytest

from lc2_backup_dagster.engines.files.capture.inventory import take_inventory
from lc2_backup_dagster.model.errors import AccessDenied, StoreUnavailable
from lc2_backup_dagster_tests.engines.files.faults import Unordered
from lc2_backup_dagster_tests.engines.files.library import an_info
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock


class Listed(MemoryStore):
    """Lists what it is told to, while its clock goes on."""

    def __init__(self, *infos: object) -> None:
        super().__init__()
        self.infos = infos

    def list(self, prefix="", *, start_after=None):
        for info in self.infos:
            self.clock.move(seconds=1)
            if isinstance(info, Exception):
                raise info
            yield info


@pytest.mark.parametrize("run_rows", [2, 1000])
def test_a_store_that_lists_out_of_order_is_sorted_and_noticed(tmp_path: Path, run_rows: int) -> None:
    store = Unordered()
    for key in ["a", "a/b", "a-b", "é", "z/1", "z/0"]:
        store.put(key, key.encode())

    with take_inventory(store, scratch=tmp_path, run_rows=run_rows) as inventory:
        assert [found.key for found in inventory.objects()] == ["a", "a-b", "a/b", "z/0", "z/1", "é"]
        assert not inventory.ordered
        assert (inventory.count, inventory.size_bytes) == (6, 1 + 3 + 3 + 2 + 3 + 3)


def test_what_the_listing_says_survives_the_disk(tmp_path: Path) -> None:
    infos = [an_info(f"{number:03d}", version="v1", etag=None if number % 2 else "e") for number in range(700)]

    with take_inventory(Listed(*infos), scratch=tmp_path, run_rows=300) as inventory:
        assert list(inventory.objects()) == infos
        assert inventory.ordered


def test_the_interval_of_the_listing_is_told_by_the_stores_clock() -> None:
    store = Listed(an_info("a"), an_info("b"))
    began = store.clock.now()

    with take_inventory(store) as inventory:
        assert (inventory.started, inventory.finished) == (began, began + timedelta(seconds=2))


def test_a_source_that_must_not_be_written_need_not_tell_the_time() -> None:
    class ReadOnly(Listed):
        def now(self):
            raise AccessDenied("a directory tells the time by writing")

    clock = SetClock()
    with take_inventory(ReadOnly(an_info("a")), clock=clock) as inventory:
        assert inventory.started == clock.now()


def test_excluded_objects_are_counted() -> None:
    store = Listed(an_info("a.png"), an_info("b.tmp"))

    with take_inventory(store, include=lambda key: not key.endswith(".tmp")) as inventory:
        assert [found.key for found in inventory.objects()] == ["a.png"]
        assert inventory.excluded == 1


def test_a_key_listed_twice_is_taken_once_in_its_later_version() -> None:
    later = an_info("b", etag="new", modified=an_info("b").modified + timedelta(seconds=5))

    with take_inventory(Listed(an_info("a"), later, an_info("b"), an_info("c"), an_info("c"))) as inventory:
        assert list(inventory.objects()) == [an_info("a"), later, an_info("c")]


def test_a_listing_that_breaks_off_is_never_taken_for_the_whole() -> None:
    with pytest.raises(StoreUnavailable):
        take_inventory(Listed(an_info("a"), StoreUnavailable("503")))
