"""What every object store must do, whatever is behind it.

A new backend subclasses ``ObjectStoreContract`` and gives it two empty stores, between which the backend copies by
itself if it can; see ``clouds/test_directory_store.py``.
"""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.errors import (
    AlreadyExists,
    ConfigurationError,
    KeyNotRepresentable,
    ObjectNotFound,
    SourceChanged,
)

MIB = 1 << 20
AWKWARD_KEYS = (
    "with space/and  two ",
    "plus+and%20percent%2Fnot a slash",
    "20097/20121/Jahresbericht 2026 (final)+50%.pdf/1.0~0a1b2c3d",
    "ünïcödé/composed-é",
    "ünïcödé/decomposed-e\u0301",
    "日本語/🙂.txt",
    "quotes'\"<&>;=?#*~:|[]{}^`!$",
    ".hidden/..almost/...",
    "tab\tand\nline feed\rand return",
    "control-\x01-\x7f",
)


def keys_of(store: ObjectStore, prefix: str = "", *, start_after: str | None = None) -> list[str]:
    """Return the keys of a listing in byte order, having checked the order that the store promises."""
    listed = [found.key for found in store.list(prefix, start_after=start_after)]
    ordered = sorted(listed, key=lambda key: key.encode("utf-8", "surrogateescape"))
    assert len(set(listed)) == len(listed)
    if store.capabilities.ordered_listing:
        assert listed == ordered
    return ordered


def fill(store: ObjectStore, keys: Iterable[str]) -> None:
    """Put small objects whose content is their key, several at once."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, key.encode("utf-8", "surrogateescape")), keys))


def write_files(root: Path, keys: Iterable[str]) -> None:
    """Make many objects of a directory store without waiting for the disk at every one, as the store itself does."""
    for key in keys:
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def pattern(size_bytes: int) -> bytes:
    """Return bytes in which every exchange of two places shows."""
    block = b"".join(number.to_bytes(4, "big") for number in range(64 * 1024))
    return (block * (size_bytes // len(block) + 1))[:size_bytes]


class ObjectStoreContract:
    """Subclass it, override the fixtures, and adapt the attributes where the backend holds less."""

    object_and_folder = True
    """Whether ``a`` and ``a/b`` can both be objects."""
    unrepresentable_keys: tuple[str, ...] = ("",)
    """Keys that the store must refuse by itself."""
    multipart_bytes = 11 * MIB + 5
    """A size that the store writes and copies in several parts, as the fixture sets it up."""

    @pytest.fixture
    def store(self) -> ObjectStore:
        """Return an empty store."""
        raise NotImplementedError

    @pytest.fixture
    def other_store(self) -> ObjectStore:
        """Return another empty store of the same kind, out of which ``store`` can copy."""
        raise NotImplementedError

    def fill_with_thousands(self, store: ObjectStore, keys: Iterable[str]) -> None:
        """Put many objects; a backend with a quicker way overrides it."""
        fill(store, keys)

    def test_an_object_comes_back_whole(self, store):
        written = store.put("folder/object", b"content")

        assert store.get("folder/object") == b"content"
        found = store.stat("folder/object")
        (listed,) = store.list()
        for info in (written, found, listed):
            assert (info.key, info.size_bytes) == ("folder/object", 7)
            assert abs(info.modified - store.now()) < timedelta(minutes=1)
            assert info.modified.tzinfo is UTC
        assert found.etag == listed.etag == written.etag

    def test_an_empty_object_comes_back(self, store):
        store.put("empty", b"")

        assert store.get("empty") == b""
        assert store.stat("empty").size_bytes == 0
        with store.open("empty") as reader:
            assert reader.read(10) == b""

    def test_create_only_refuses_a_taken_key_and_keeps_what_is_there(self, store):
        store.put("key", b"first")

        with pytest.raises(AlreadyExists, match="key"):
            store.put("key", b"second")
        with pytest.raises(AlreadyExists):
            store.put("key", b"first")
        with pytest.raises(AlreadyExists):
            store.put_stream("key", [b"third"], size_bytes=5)
        assert store.get("key") == b"first"

    def test_overwriting_changes_content_and_etag(self, store):
        first = store.put("key", b"first")
        second = store.put("key", b"other", create_only=False)

        assert store.get("key") == b"other"
        assert second.etag != first.etag
        assert store.stat("key").etag == second.etag

    def test_one_of_eight_writers_wins_a_race(self, store):
        for turn in range(2):
            start = threading.Barrier(8)

            def write(number, start=start, turn=turn):
                start.wait()
                try:
                    store.put(f"race/{turn}", f"writer {number}".encode())
                except AlreadyExists:
                    return None
                return number

            with ThreadPoolExecutor(8) as pool:
                winners = [number for number in pool.map(write, range(8)) if number is not None]
            assert len(winners) == 1
            assert store.get(f"race/{turn}") == f"writer {winners[0]}".encode()

    def test_ranges_are_cut_as_asked_and_short_only_at_the_end(self, store):
        store.put("key", b"0123456789")

        assert store.get("key", start=0, length=4) == b"0123"
        assert store.get("key", start=3) == b"3456789"
        assert store.get("key", start=8, length=5) == b"89"
        assert store.get("key", start=9, length=1) == b"9"
        assert store.get("key", start=10, length=1) == b""
        assert store.get("key", start=50) == b""
        assert store.get("key", start=2, length=0) == b""
        for wrong in ({"start": -1}, {"length": -1}):
            with pytest.raises(ValueError, match="no sense"):
                store.get("key", **wrong)

    @pytest.mark.parametrize("key", ["absent", "folder/absent", "folder", "folder/there/absent"])
    def test_what_is_absent_is_not_found(self, store, other_store, key):
        store.put("folder/there", b"x")

        for ask in (store.get, store.stat, lambda key: store.get(key, length=0)):
            with pytest.raises(ObjectNotFound, match="absent|folder"):
                ask(key)
        with pytest.raises(ObjectNotFound), store.open(key):
            pass
        if other_store.can_copy_from(store):
            with pytest.raises(ObjectNotFound):
                other_store.copy_from(store, key, "copy", size_bytes=1)

    def test_open_reads_forward_in_pieces(self, store):
        content = pattern(300_000)
        store.put("key", content)

        with store.open("key") as reader:
            assert reader.info.size_bytes == len(content)
            pieces = []
            while piece := reader.read(70_000):
                assert len(piece) <= 70_000
                pieces.append(piece)
            assert reader.read(1) == b""
        assert b"".join(pieces) == content

    def test_open_may_be_left_before_the_end(self, store):
        store.put("key", pattern(300_000))

        for _ in range(50):
            with store.open("key") as reader:
                assert len(reader.read(10)) <= 10

    def test_open_refuses_another_version_than_the_listed_one(self, store):
        store.put("key", b"first")
        (listed,) = store.list()
        with store.open("key", if_match=listed.etag) as reader:
            assert reader.read(100) == b"first"

        store.put("key", b"other", create_only=False)

        with pytest.raises(SourceChanged, match="key"), store.open("key", if_match=listed.etag):
            pass

    def test_listing_takes_any_prefix_and_starts_after_any_text(self, store):
        # These first: SeaweedFS takes an object beside a folder of its name only before the folder exists.
        keys = ["m", "m/o", "n/o"] if self.object_and_folder else []
        fill(store, keys[:1])
        fill(store, keys[1:])
        others = ["m-n", "m.n", "m/n", "m/n-o", "m/o/p", "m/o/q", "m0", "n", "n!/x"]
        if keys:
            others.remove("n")
        fill(store, others)
        keys = sorted([*keys, *others])

        for prefix in ("", "m", "m/", "m/o", "m/o/", "m/o/p", "n", "nothing", "nothing/", "m/o/p/", "/", "m//"):
            wanted = [key for key in keys if key.startswith(prefix)]
            assert keys_of(store, prefix) == wanted
            for after in (*keys, "m!", "m/", "m/o", "m/o/", "m/o0", "m", "A", "n/", "zz", "m-", "é"):
                assert keys_of(store, prefix, start_after=after) == [key for key in wanted if key > after]

    def test_thousands_of_objects_are_listed_and_deleted(self, store):
        keys = sorted(f"{'even' if number % 2 else 'odd/deep'}/{number:05d}" for number in range(2500))
        self.fill_with_thousands(store, [*keys, "zzz"])

        assert keys_of(store) == [*keys, "zzz"]
        assert keys_of(store, "even/") == keys[:1250]
        assert keys_of(store, start_after=keys[1000]) == [*keys[1001:], "zzz"]

        store.delete(key for key in keys)

        assert keys_of(store) == ["zzz"]

    def test_deleting_what_is_absent_is_no_error(self, store):
        store.put("folder/there", b"x")

        store.delete(["absent", "folder/absent", "folder/there", "folder", "folder/there"])
        store.delete([])

        assert keys_of(store) == []

    @pytest.mark.parametrize("key", AWKWARD_KEYS, ids=range(len(AWKWARD_KEYS)))
    def test_awkward_keys_come_through_unchanged(self, store, key):
        written = store.put(key, b"content")

        assert written.key == store.stat(key).key == key
        assert store.get(key) == b"content"
        assert keys_of(store) == [key]
        assert keys_of(store, key) == [key]
        with store.open(key) as reader:
            assert reader.read(100) == b"content"
        if store.can_copy_from(store):
            copied = store.copy_from(store, key, f"copied/{key}", size_bytes=7, if_match=store.stat(key).etag)
            assert copied.key == f"copied/{key}"
            assert store.get(f"copied/{key}") == b"content"
        store.delete([key, f"copied/{key}"])
        assert keys_of(store) == []

    def test_composed_and_decomposed_letters_are_two_keys(self, store):
        fill(store, ["é", "e\u0301"])

        assert keys_of(store) == ["e\u0301", "é"]
        store.delete(["é"])
        assert keys_of(store) == ["e\u0301"]

    def test_keys_of_a_thousand_bytes_fit(self, store):
        key = "/".join(letter * 199 for letter in "abcde")
        assert len(key) == 999
        keys = [key + "x", ("é" * 100 + "/") * 4 + "é" * 98]
        assert all(len(key.encode()) == 1000 for key in keys)
        keys = [key for key in keys if len(key.encode()) <= store.capabilities.max_key_bytes]

        fill(store, keys)

        assert keys_of(store) == sorted(keys)
        assert all(store.get(key) == key.encode() for key in keys)
        store.delete(keys)
        assert keys_of(store) == []

    def test_keys_that_the_store_cannot_hold_are_refused(self, store):
        for key in (*self.unrepresentable_keys, "\ud800"):
            for attempt in (lambda key: store.put(key, b"x"), store.get, store.stat, lambda key: store.delete([key])):
                with pytest.raises(KeyNotRepresentable):
                    attempt(key)
        assert keys_of(store) == []

    def test_streams_of_any_size_come_back(self, store):
        for size_bytes in (0, 1, 300_000, self.multipart_bytes):
            content = pattern(size_bytes)
            pieces = [content[start : start + 777_777] for start in range(0, size_bytes, 777_777)]

            written = store.put_stream(f"stream/{size_bytes}", iter(pieces), size_bytes=size_bytes)

            assert written.size_bytes == size_bytes
            assert store.get(f"stream/{size_bytes}") == content
            with store.open(f"stream/{size_bytes}", if_match=written.etag) as reader:
                assert reader.info.size_bytes == size_bytes

    def test_a_large_stream_may_come_in_one_piece_and_does_not_replace_what_is_there(self, store):
        content = pattern(self.multipart_bytes)
        store.put_stream("key", [content], size_bytes=len(content))

        with pytest.raises(AlreadyExists):
            store.put_stream("key", [content[::-1]], size_bytes=len(content))
        assert store.get("key") == content
        store.put_stream("key", [content[::-1]], size_bytes=len(content), create_only=False)
        assert store.get("key") == content[::-1]

    @pytest.mark.parametrize("announced", [-1, 1])
    def test_a_stream_of_another_length_leaves_nothing_behind(self, store, announced):
        for size_bytes in (10, self.multipart_bytes):
            content = pattern(size_bytes)
            pieces = [content[start : start + MIB] for start in range(0, size_bytes, MIB)]
            with pytest.raises(SourceChanged, match=f"{size_bytes + announced} bytes were announced"):
                store.put_stream("key", pieces, size_bytes=size_bytes + announced)
            with pytest.raises(ObjectNotFound):
                store.stat("key")
        assert keys_of(store) == []

    def test_a_stream_that_fails_leaves_nothing_behind(self, store):
        def broken():
            yield pattern(self.multipart_bytes // 2)
            raise RuntimeError("the source broke")

        with pytest.raises(RuntimeError, match="the source broke"):
            store.put_stream("key", broken(), size_bytes=self.multipart_bytes)
        assert keys_of(store) == []

    def test_content_type_and_metadata_are_kept_where_the_store_says_so(self, store):
        if not store.capabilities.user_metadata:
            store.put_stream("key", [b"x"], size_bytes=1, content_type="application/pdf", metadata={"title": "one"})
            assert (store.stat("key").content_type, dict(store.stat("key").metadata)) == (None, {})
            return
        for size_bytes in (10, self.multipart_bytes):
            key = f"kept/{size_bytes}"
            store.put_stream(
                key,
                [pattern(size_bytes)],
                size_bytes=size_bytes,
                content_type="application/pdf",
                metadata={"title": "one two"},
            )
            copied = store.copy_from(store, key, f"copied/{key}", size_bytes=size_bytes)

            assert copied.size_bytes == size_bytes
            for kept in (key, f"copied/{key}"):
                found = store.stat(kept)
                assert found.content_type == "application/pdf"
                assert dict(found.metadata) == {"title": "one two"}

    def test_the_store_copies_small_and_large_objects_by_itself(self, store, other_store):
        assert store.can_copy_from(store)
        assert store.can_copy_from(other_store)
        for size_bytes in (0, 1000, self.multipart_bytes):
            content = pattern(size_bytes)
            for source in (store, other_store):
                source.put_stream(f"sources/{size_bytes}", [content], size_bytes=size_bytes, create_only=False)
                etag = source.stat(f"sources/{size_bytes}").etag
                key = f"copied/{size_bytes}"

                for condition in (None, etag):
                    copied = store.copy_from(
                        source, f"sources/{size_bytes}", key, size_bytes=size_bytes, if_match=condition
                    )
                    assert (copied.key, copied.size_bytes) == (key, size_bytes)
                    assert store.get(key) == content
                assert store.stat(key).etag == copied.etag

    def test_a_copy_refuses_a_source_that_changed(self, store, other_store):
        for size_bytes in (1000, self.multipart_bytes):
            listed = other_store.put_stream("origin", [pattern(size_bytes)], size_bytes=size_bytes, create_only=False)
            other_store.put_stream("origin", [pattern(size_bytes)[::-1]], size_bytes=size_bytes, create_only=False)

            with pytest.raises(SourceChanged, match=r"origin|target"):
                store.copy_from(other_store, "origin", "target", size_bytes=size_bytes, if_match=listed.etag)
            with pytest.raises(SourceChanged, match=r"origin|target"):
                store.copy_from(other_store, "origin", "target", size_bytes=size_bytes - 1)
            assert keys_of(store) == []

    def test_the_store_tells_its_own_time(self, store):
        moments = [store.now() for _ in range(3)]

        assert moments == sorted(moments)
        assert abs(moments[-1] - datetime.now(UTC)) < timedelta(minutes=1)
        assert all(moment.tzinfo is UTC for moment in moments)

    def test_a_check_leaves_nothing_behind(self, store):
        store.check(write=False)
        store.check(write=True)

        assert keys_of(store) == []

    def test_the_unordered_listing_is_the_listing(self, store):
        fill(store, [f"{folder}/{number}" for folder in ("a", "b", "b-c") for number in range(3)])

        for prefix in ("", "b", "b/", "b-", "nothing/"):
            in_order = sorted(store.list(prefix), key=lambda found: found.key)
            assert sorted(store.list_unordered(prefix), key=lambda found: found.key) == in_order

    def test_versions_are_refused_where_there_are_none(self, store, other_store):
        if store.capabilities.versions:
            return
        store.put("key", b"x")
        attempts = [
            lambda: list(store.list_versions()),
            lambda: store.stat("key", version="one"),
            lambda: store.open("key", version="one").__enter__(),
            lambda: other_store.copy_from(store, "key", "copy", size_bytes=1, version="one"),
        ]
        for attempt in attempts:
            with pytest.raises(ConfigurationError, match="no versions"):
                attempt()

    def test_its_address_is_fit_for_messages(self, store):
        assert "//" in store.url
        assert "secret" not in store.url
