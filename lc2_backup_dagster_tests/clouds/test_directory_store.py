"""The directory store: the contract, and what only a file system has."""

import errno
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from lc2_backup_dagster.clouds.local import listing
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.model.errors import (
    AccessDenied,
    AlreadyExists,
    BucketNotFound,
    KeyNotRepresentable,
    ObjectNotFound,
    SourceChanged,
    StorageFull,
    StoreUnavailable,
)
from lc2_backup_dagster_tests.contracts.object_store import ObjectStoreContract, keys_of, write_files
from lc2_backup_dagster_tests.privileges import visible_to_all, without_privileges


class TestDirectoryStoreKeepsTheContract(ObjectStoreContract):
    object_and_folder = False
    unrepresentable_keys = (
        "", "/absolute", "trailing/", "two//slashes", "/", ".", "..", "../outside", "a/../b", "a/./b", "nul\0",
        ".lc2-staging/x", ".lc2-staging",
    )  # fmt: skip

    @pytest.fixture
    def store(self, tmp_path):
        return DirectoryStore(tmp_path / "store", create=True)

    @pytest.fixture
    def other_store(self, tmp_path):
        return DirectoryStore(tmp_path / "other", create=True)

    @pytest.fixture(autouse=True)
    def place(self, tmp_path):
        self.root = tmp_path / "store"

    def fill_with_thousands(self, store, keys):
        write_files(self.root, keys)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def store(root):
    return DirectoryStore(root)


def staged(root):
    return list((root / ".lc2-staging").iterdir())


def test_the_listing_is_in_byte_order_of_whole_keys_also_for_undecodable_names(store):
    keys = ["a-b", "a/b", "a.", "a0", "a b/c", "\udcff", "é", "\udcc3", "a/é", "ab/\udcff/x", "🙂", "\uffff"]
    for key in keys:
        store.put(key, b"x")

    assert [found.key for found in store.list()] == sorted(keys, key=lambda key: key.encode("utf-8", "surrogateescape"))
    assert keys_of(store, "ab/\udcff") == ["ab/\udcff/x"]
    assert store.get("ab/\udcff/x") == b"x"
    assert os.fsencode("ab/\udcff/x") == b"ab/\xff/x"


def test_folders_with_more_files_than_are_looked_at_at_once_are_listed_whole(store, monkeypatch):
    monkeypatch.setattr(listing, "_STATS_AT_ONCE", 3)
    keys = [f"a/{number}" for number in range(10)] + ["a/3/x", "a/30"]
    keys.remove("a/3")
    for key in keys:
        store.put(key, b"x")

    assert keys_of(store) == sorted(keys)


def test_files_and_folders_that_vanish_during_a_listing_are_left_out(store):
    for key in ("a/1", "b/1", "b/2", "c/1", "d"):
        store.put(key, b"x")
    found = store.list()

    assert next(found).key == "a/1"
    store.delete(["b/1", "b/2", "c/1"])
    assert [info.key for info in found] == ["d"]


def test_the_listing_of_a_root_that_vanished_does_not_look_empty(store, root, tmp_path):
    for key in ("a/1", "b/1"):
        store.put(key, b"x")
    found = store.list()
    next(found)
    root.rename(tmp_path / "elsewhere")

    with pytest.raises(BucketNotFound):
        list(found)
    with pytest.raises(BucketNotFound):
        list(store.list("a/"))


def test_links_are_no_objects_and_lead_nowhere(store, root, tmp_path, caplog):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    store.put("real/file", b"x")
    (root / "folder").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    (root / "inside").symlink_to(root / "real")
    (root / "dangling").symlink_to(root / "nowhere")

    assert keys_of(store) == ["real/file"]
    assert "4 links or special files" in caplog.text
    for key in ("folder/secret", "file", "inside/file", "dangling"):
        for ask in (store.get, store.stat):
            with pytest.raises(ObjectNotFound):
                ask(key)
    with pytest.raises(KeyNotRepresentable):
        store.put("folder/new", b"x", create_only=False)
    store.delete(["folder/secret"])
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    with pytest.raises(AlreadyExists):
        store.put("file", b"new")
    store.put("file", b"new", create_only=False)
    assert (outside / "secret").read_bytes() == b"secret"
    assert store.get("file") == b"new"


def test_a_root_that_is_a_link_is_followed(root, tmp_path):
    (tmp_path / "link").symlink_to(root)

    DirectoryStore(tmp_path / "link").put("key", b"x")

    assert (root / "key").read_bytes() == b"x"


def test_pipes_and_sockets_are_no_objects(store, root, monkeypatch):
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")

        assert keys_of(store) == []
        for key in ("pipe", "socket"):
            with pytest.raises(ObjectNotFound):
                store.get(key)
            with pytest.raises(ObjectNotFound):
                store.stat(key)


def test_an_object_and_a_folder_of_the_same_name_are_refused(store):
    store.put("a/b", b"x")
    store.put("c", b"x")

    for create_only in (True, False):
        with pytest.raises(KeyNotRepresentable, match="folder"):
            store.put("a", b"y", create_only=create_only)
        with pytest.raises(KeyNotRepresentable):
            store.put("c/d", b"y", create_only=create_only)
    assert keys_of(store) == ["a/b", "c"]
    assert store.get("c") == b"x"


def test_segments_that_are_too_long_are_refused(store):
    with pytest.raises(KeyNotRepresentable):
        store.put("a/" + "x" * 256, b"x")
    with pytest.raises(KeyNotRepresentable):
        store.put("x" * 256 + "/a", b"x")
    store.put("/".join("x" * 255 for _ in range(40)), b"deeper than a path may be long")
    assert len(keys_of(store)) == 1


def test_a_missing_root_is_said_to_be_missing_and_never_made(tmp_path):
    store = DirectoryStore(tmp_path / "missing")
    attempts = [
        lambda: store.check(write=False),
        lambda: store.check(write=True),
        lambda: store.put("key", b"x"),
        lambda: store.get("key"),
        lambda: store.stat("folder/key"),
        lambda: list(store.list()),
        lambda: list(store.list("some/prefix")),
        lambda: store.delete(["key"]),
        store.now,
        store.remove_stale_staging,
    ]

    for attempt in attempts:
        with pytest.raises(BucketNotFound, match="missing"):
            attempt()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "missing").write_bytes(b"a file, not a directory")
    with pytest.raises(BucketNotFound):
        store.check(write=False)


def test_folders_that_a_delete_empties_are_removed_and_no_others(store, root):
    for key in ("a/b/c/d", "a/b/e", "f/g/h"):
        store.put(key, b"x")
    (root / "kept").mkdir()

    store.delete(["a/b/c/d", "f/g/h"])

    folders = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir())
    assert folders == [".lc2-staging", "a", "a/b", "kept"]


def test_writers_and_deletes_in_the_same_folder_do_not_disturb_each_other(store):
    start = threading.Barrier(4)

    def churn(number):
        start.wait()
        for turn in range(40):
            store.put(f"shared/deep/folder/{number}", f"{turn}".encode())
            assert store.get(f"shared/deep/folder/{number}") == f"{turn}".encode()
            store.delete([f"shared/deep/folder/{number}"])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(churn, range(4)))
    assert keys_of(store) == []


def test_a_full_disk_is_said_to_be_full_and_leaves_nothing_behind(store, root, monkeypatch):
    real = os.write

    def full(file, piece):
        if len(piece) > 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, piece)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageFull, match="No space left"):
        store.put("key", b"x" * 2000)
    monkeypatch.undo()
    assert keys_of(store) == []
    assert staged(root) == []


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EDQUOT, StorageFull),
        (errno.EROFS, AccessDenied),
        (errno.EACCES, AccessDenied),
        (errno.EIO, StoreUnavailable),
        (errno.ESTALE, StoreUnavailable),
    ],
)
def test_errors_of_the_system_become_errors_of_the_project(store, root, monkeypatch, number, kind):
    store.put("key", b"x")

    def failing(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(kind, match="write 'new'"):
        store.put("new", b"x")
    monkeypatch.undo()
    monkeypatch.setattr(os, "pread", failing)
    with pytest.raises(kind, match="read 'key'"):
        store.get("key")
    monkeypatch.undo()
    assert keys_of(store) == ["key"]
    assert staged(root) == []


def test_an_unreadable_folder_is_an_error_and_not_left_out(tmp_path):
    root = visible_to_all(tmp_path) if os.geteuid() == 0 else tmp_path
    store = DirectoryStore(root)
    for key in ("a/1", "locked/1", "z"):
        store.put(key, b"x")
    (root / "locked").chmod(0)
    try:
        with without_privileges():
            with pytest.raises(AccessDenied, match="list"):
                list(store.list())
            with pytest.raises(AccessDenied, match="locked/1"):
                store.get("locked/1")
    finally:
        (root / "locked").chmod(0o755)


def test_a_directory_without_the_right_to_write_can_be_read_only(tmp_path):
    root = visible_to_all(tmp_path) if os.geteuid() == 0 else tmp_path
    store = DirectoryStore(root)
    store.put("key", b"x")
    for folder in (root, root / ".lc2-staging"):
        folder.chmod(0o555)
    try:
        with without_privileges():
            store.check(write=False)
            assert store.get("key") == b"x"
            for attempt in (
                lambda: store.check(write=True),
                lambda: store.put("new", b"x"),
                lambda: store.delete(["key"]),
                store.now,
            ):
                with pytest.raises(AccessDenied):
                    attempt()
    finally:
        for folder in (root, root / ".lc2-staging"):
            folder.chmod(0o755)
    assert keys_of(store) == ["key"]


def test_a_file_that_is_written_to_while_it_is_read_is_refused(store, root):
    store.put("key", b"x" * 100)

    with store.open("key") as reader:
        reader.read(50)
        with (root / "key").open("r+b") as file:
            file.write(b"y" * 60)
        os.utime(root / "key", ns=(1, 1))
        with pytest.raises(SourceChanged, match="while it was read"):
            reader.read(50)


def test_a_file_that_shrinks_while_it_is_read_is_refused(store, root):
    store.put("key", b"x" * 100)

    with store.open("key") as reader:
        os.truncate(root / "key", 10)
        with pytest.raises(SourceChanged):
            reader.read(100)


def test_what_crashed_writers_left_is_removed_and_what_is_fresh_is_not(store, root):
    store.put("key", b"x")
    (root / ".lc2-staging" / "old").write_bytes(b"half")
    os.utime(root / ".lc2-staging" / "old", (1, 1))
    (root / ".lc2-staging" / "fresh").write_bytes(b"half")

    assert keys_of(store) == ["key"]
    assert store.remove_stale_staging(older_than=timedelta(hours=1)) == 1
    assert [path.name for path in staged(root)] == ["fresh"]


def test_copying_by_hand_where_the_kernel_cannot_gives_the_same_bytes(store, monkeypatch):
    content = os.urandom(3_000_000)
    store.put("source", content)
    real = os.copy_file_range
    for failing in (
        lambda *_: (_ for _ in ()).throw(OSError(errno.EXDEV, "other file system")),
        lambda source, target, size: real(source, target, 1_000_000) if os.fstat(target).st_size == 0 else 0,
    ):
        monkeypatch.setattr(os, "copy_file_range", failing)
        store.copy_from(store, "source", "copy", size_bytes=len(content))
        assert store.get("copy") == content


def test_a_copy_out_of_another_kind_of_store_is_refused(store):
    class Foreign:
        url = "foreign://store"

    assert not store.can_copy_from(Foreign())
    with pytest.raises(TypeError, match="can_copy_from"):
        store.copy_from(Foreign(), "key", "key", size_bytes=1)
