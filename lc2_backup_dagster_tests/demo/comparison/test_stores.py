from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.demo.compare import Differences, compare_stores
from lc2_backup_dagster.demo.comparison import stores
from lc2_backup_dagster_tests.fakes import MemoryStore

BIG = Random(1).randbytes(3 * 1024 * 1024 + 17)


class ShuffledStore(MemoryStore):
    """Lists in no order at all, as some stores nearly do, and reads in short pieces."""

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        infos = [*super().list(prefix, start_after=start_after)]
        Random(9).shuffle(infos)
        yield from infos


def filled(kind: type[MemoryStore] = MemoryStore, prefix: str = "") -> MemoryStore:
    store = kind()
    for number in range(60):
        store.put_stream(
            f"{prefix}20097/{number % 3}/doc {number}~ü\n/1.0",
            [f"content {number}".encode()],
            size_bytes=len(f"content {number}"),
            content_type="text/plain",
            metadata={"n": str(number)},
        )
    store.put(f"{prefix}big", BIG)
    return store


def told(differences: Differences) -> list[str]:
    return [str(difference) for difference in differences.found]


@pytest.mark.parametrize("sorted_at_once", [100_000, 7])
def test_equal_stores_are_identical_whatever_their_order_and_prefix(
    sorted_at_once: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stores, "_SORTED_AT_ONCE", sorted_at_once)
    differences = compare_stores(filled(), "", filled(ShuffledStore, "restored/here/"), "restored/here/")
    assert differences.equal, differences.text()
    assert differences.compared["objects"] == 61
    assert differences.compared["bytes"] == len(BIG) + sum(len(f"content {n}") for n in range(60))
    assert differences.text().startswith("identical (61 objects")


@pytest.mark.parametrize("position", [0, 1024 * 1024, len(BIG) - 1])
def test_one_flipped_bit_is_found_and_its_place_named(position: int):
    right = filled()
    changed = bytearray(BIG)
    changed[position] ^= 1
    right.put("big", bytes(changed), create_only=False)
    assert told(compare_stores(filled(), "", right, "")) == [f"object big: contents differ from byte {position:,} on"]


def test_missing_additional_and_cut_objects_are_named():
    left, right = filled(), filled()
    left.put("aaa", b"1")
    right.put("zzz", b"2")
    right.put("big", BIG[:-1], create_only=False)
    differences = compare_stores(left, "", right, "")
    assert sorted(told(differences)) == [
        "object aaa: only on the left",
        f"object big: {len(BIG):,} bytes on the left, {len(BIG) - 1:,} on the right",
        "object zzz: only on the right",
    ]
    assert differences.text().startswith("3 differences (")


def test_content_type_and_metadata_belong_to_an_object():
    left, right = MemoryStore(), MemoryStore()
    left.put_stream("a", [b"x"], size_bytes=1, content_type="text/plain", metadata={"by": "anna"})
    right.put_stream("a", [b"x"], size_bytes=1, content_type="text/html", metadata={"by": "ben"})
    assert told(compare_stores(left, "", right, "")) == [
        "object a: content type 'text/plain' on the left, 'text/html' on the right",
        "object a: metadata {'by': 'anna'} on the left, {'by': 'ben'} on the right",
    ]


def test_a_store_without_metadata_is_compared_by_content_and_that_is_said(tmp_path: Path):
    left, right = MemoryStore(), DirectoryStore(tmp_path)
    for store in (left, right):
        store.put_stream("a/b", [b"x"], size_bytes=1, content_type="text/plain")
    differences = compare_stores(left, "", right, "")
    assert differences.equal
    assert "does not keep them" in differences.text()


def test_ignored_keys_are_left_out_on_both_sides():
    left, right = filled(), filled()
    left.put("20097/0/adaptive/x", b"1")
    right.put("20097/0/document_thumbnail/y", b"2")
    assert not compare_stores(left, "", right, "").equal
    assert compare_stores(left, "", right, "", ignore=lambda key: key.startswith("20097/0/")).equal


def test_a_key_that_is_listed_twice_is_told():
    class Repeating(MemoryStore):
        def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
            for info in super().list(prefix):
                yield info
                yield info

    right = Repeating()
    right.put("a", b"x")
    left = MemoryStore()
    left.put("a", b"x")
    assert told(compare_stores(left, "", right, "")) == ["object a: listed twice on the right"]


def test_many_differences_are_counted_but_not_all_kept():
    left = MemoryStore()
    for number in range(700):
        left.put(f"k{number}", b"")
    differences = compare_stores(left, "", MemoryStore(), "")
    assert (differences.total, len(differences.found)) == (700, 500)
    assert differences.text(most=3).splitlines()[-1] == "  … and 697 more"
