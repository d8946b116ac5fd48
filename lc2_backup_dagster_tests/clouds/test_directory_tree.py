"""The directory store as a tree of files: links, folders, owners, modes and times."""

import errno
import grp
import os
import pwd
import socket
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.local import facts as local_facts
from lc2_backup_dagster.clouds.local.facts import Names
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.clouds.posix import posix_store
from lc2_backup_dagster.clouds.prefixed import PrefixedStore
from lc2_backup_dagster.clouds.store import ObjectInfo, PosixFacts, PosixKind
from lc2_backup_dagster.model.errors import AccessDenied, AlreadyExists, KeyNotRepresentable, ObjectNotFound
from lc2_backup_dagster_tests.contracts.object_store import ObjectStoreContract, keys_of, write_files
from lc2_backup_dagster_tests.privileges import NOBODY, visible_to_all, without_privileges

AT = datetime(2020, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)
AT_NS = 1_582_979_415_123_456_789


class _FilesOfATree(DirectoryStore):
    """Its files alone, which must keep the contract like those of any store; folders and links are tested below."""

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        return (info for info in super().list(prefix, start_after=start_after) if info.kind is PosixKind.FILE)


class TestFilesOfATreeKeepTheContract(ObjectStoreContract):
    object_and_folder = False
    unrepresentable_keys = (
        "", "/absolute", "two//slashes", "/", ".", "..", "../outside", "a/../b", "a/./b", "nul\0", ".lc2-staging/x",
        ".lc2-staging",
    )  # fmt: skip

    @pytest.fixture
    def store(self, tmp_path):
        return _FilesOfATree(tmp_path / "store", create=True, posix=True)

    @pytest.fixture
    def other_store(self, tmp_path):
        return _FilesOfATree(tmp_path / "other", create=True, posix=True)

    @pytest.fixture(autouse=True)
    def place(self, tmp_path):
        self.root = tmp_path / "store"

    def fill_with_thousands(self, store, keys):
        write_files(self.root, keys)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> DirectoryStore:
    return DirectoryStore(root, posix=True)


def some_facts(kind: PosixKind = PosixKind.FILE, **changes) -> PosixFacts:
    fields = {"mode": 0o640, "uid": os.geteuid(), "gid": os.getegid(), "nanoseconds": 789}
    fields["target"] = "../elsewhere" if kind is PosixKind.SYMLINK else None
    return PosixFacts(kind, **{**fields, **changes})


def status_of(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return stat.S_IMODE(status.st_mode), status.st_mtime_ns


def test_links_folders_and_special_files_are_listed_with_their_facts_in_byte_order(root, store, tmp_path):
    (root / "a/empty").mkdir(parents=True)
    (root / "a/file").write_bytes(b"12345")
    (root / "a/file").chmod(0o4750)
    os.utime(root / "a/file", ns=(0, AT_NS))
    (root / "a-b").symlink_to(tmp_path / "outside")
    (root / "a/up").symlink_to("../a/")
    os.mkfifo(root / "pipe")
    (root / "a").chmod(0o2751)

    found = {info.key: info for info in store.list()}

    assert list(found) == ["a-b", "a/", "a/empty/", "a/file", "a/up", "pipe"]
    assert {key: info.kind for key, info in found.items()} == {
        "a-b": PosixKind.SYMLINK, "a/": PosixKind.DIRECTORY, "a/empty/": PosixKind.DIRECTORY, "a/file": PosixKind.FILE,
        "a/up": PosixKind.SYMLINK, "pipe": PosixKind.SPECIAL,
    }  # fmt: skip
    assert found["a-b"].posix.target == str(tmp_path / "outside")
    assert found["a/up"].posix.target == "../a/"  # as it is written, not tidied up
    file = found["a/file"]
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    assert file.posix == PosixFacts(PosixKind.FILE, 0o4750, os.geteuid(), os.getegid(), user, group, nanoseconds=789)
    assert (file.size_bytes, file.modified) == (5, AT)
    assert file.etag == f"{AT_NS}-5-{(root / 'a/file').stat().st_ino}"
    assert found["a/"].posix.mode == 0o2751
    assert {key for key, info in found.items() if info.size_bytes or info.etag} == {"a/file"}
    for key in ("a-b", "a/", "a/file"):
        assert store.stat(key) == found[key]
    assert [info.key for info in DirectoryStore(root).list()] == ["a/file"]


def test_a_part_of_a_tree_is_listed_with_the_folders_that_belong_to_it(root, store):
    for key in ("a/b/1", "a/b/2", "a/c", "a0/x"):
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(b"x")

    assert keys_of(store) == ["a/", "a/b/", "a/b/1", "a/b/2", "a/c", "a0/", "a0/x"]
    assert keys_of(store, "a/") == ["a/", "a/b/", "a/b/1", "a/b/2", "a/c"]
    assert keys_of(store, "a/b") == ["a/b/", "a/b/1", "a/b/2"]
    assert keys_of(store, start_after="a/b/1") == ["a/b/2", "a/c", "a0/", "a0/x"]
    assert keys_of(store, start_after="a/b/") == ["a/b/1", "a/b/2", "a/c", "a0/", "a0/x"]
    assert keys_of(PrefixedStore(store, "a/")) == ["b/", "b/1", "b/2", "c"]


def test_owners_without_a_name_are_numbers(root, store, monkeypatch):
    def nobody(number):
        raise KeyError(number)

    monkeypatch.setattr(local_facts.pwd, "getpwuid", nobody)
    monkeypatch.setattr(local_facts.grp, "getgrgid", nobody)
    (root / "file").write_bytes(b"x")

    facts = store.stat("file").posix
    assert (facts.uid, facts.user, facts.gid, facts.group) == (os.geteuid(), None, os.getegid(), None)


def test_each_owner_is_asked_once_in_a_listing_and_anew_in_the_next(root, store, monkeypatch):
    asked = []
    real = pwd.getpwuid
    monkeypatch.setattr(local_facts.pwd, "getpwuid", lambda uid: asked.append(uid) or real(uid))
    for number in range(20):
        (root / f"{number}").write_bytes(b"x")

    for _ in range(2):
        assert len(list(store.list())) == 20
    assert asked == [os.geteuid()] * 2


def test_owners_go_by_name_where_this_machine_knows_it(monkeypatch):
    real = pwd.getpwnam("root")
    monkeypatch.setattr(local_facts.pwd, "getpwnam", lambda name: {"root": real}[name])
    monkeypatch.setattr(local_facts.grp, "getgrnam", lambda name: {}[name])

    names = Names()
    assert names.ids_of(some_facts(uid=77, gid=88, user="root", group="unknown")) == (0, 88)
    assert names.ids_of(some_facts(uid=77, gid=88, user="stranger", group=None)) == (77, 88)


def test_a_name_that_no_system_could_have_is_an_unknown_one():
    assert Names().ids_of(some_facts(uid=77, gid=88, user="a\0b", group="\ud800")) == (77, 88)


def test_folders_nested_deeper_than_a_path_may_be_long_are_listed(root, store):
    def names_at(depth):
        return "/".join(["n" * 200] * depth)

    depth = 1010  # deeper than Python calls, and 200 kB of path
    try:
        store.put(f"{names_at(depth)}/end", b"x")
        keys = keys_of(store)
        assert len(keys) == depth + 1
        assert keys[-1] == f"{names_at(depth)}/end"
        assert store.get(keys[-1]) == b"x"
        assert store.stat(f"{names_at(depth)}/").kind is PosixKind.DIRECTORY
        store.delete([keys[-1], keys[-2]])
        assert keys_of(store, f"{names_at(depth - 2)}/") == [f"{names_at(depth - 2)}/", f"{names_at(depth - 1)}/"]
    finally:  # too deep for Python's own cleaning up
        subprocess.run(["rm", "-rf", root / names_at(1)], check=True)


@pytest.mark.parametrize("name", [b"-rf", b"line\nfeed", b"\xff\xfe", b"*", b" ", b"x" * 255, b"~", "é".encode()])
def test_odd_names_are_names(root, store, name):
    path = os.fsencode(root) + b"/" + name
    os.mkdir(path)  # noqa: PTH102 - these are bytes
    os.symlink(name, path + b"/" + name)  # noqa: PTH211
    key = name.decode("utf-8", "surrogateescape")

    assert keys_of(store) == [f"{key}/", f"{key}/{key}"]
    assert store.stat(f"{key}/{key}").posix.target == key
    store.delete([f"{key}/{key}"])
    store.put_link(f"{key}/{key}", some_facts(PosixKind.SYMLINK, target=key), modified=AT, create_only=True)
    assert os.readlink(path + b"/" + name) == name  # noqa: PTH115


def test_links_are_never_followed_in_a_tree_either(root, store, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"secret")
    (root / "way").symlink_to(tmp_path / "outside")
    (root / "file").symlink_to(tmp_path / "outside/secret")

    for key in ("way/secret", "file"):
        with pytest.raises(ObjectNotFound):
            store.get(key)
    for key in ("way/", "way/secret"):
        with pytest.raises(ObjectNotFound):
            store.stat(key)
    facts = some_facts(PosixKind.DIRECTORY, mode=0o777)
    for attempt in (
        lambda: store.dressed(some_facts(), AT).put("way/new", b"x"),
        lambda: store.put_link("way/new", some_facts(PosixKind.SYMLINK), modified=AT, create_only=False),
        lambda: store.make_folder("way/", take_over=True),
        lambda: store.make_folder("way/new/", take_over=True),
        lambda: store.finish_folder("way/", facts, modified=AT),
        lambda: store.make_folder("file/", take_over=True),
    ):
        before = (tmp_path / "outside").stat()
        with pytest.raises(KeyNotRepresentable):
            attempt()
        assert (tmp_path / "outside").stat() == before
    store.delete(["way/secret", "way/"])
    assert sorted(path.name for path in (tmp_path / "outside").iterdir()) == ["secret"]


@pytest.mark.parametrize("key", ["../x/", "/x/", "a//", "a/../b/", "./", "/", ""])
def test_folders_outside_the_root_cannot_be_named(store, key):
    with pytest.raises(KeyNotRepresentable):
        store.make_folder(key, take_over=True)
    with pytest.raises(KeyNotRepresentable):
        store.finish_folder(key, some_facts(PosixKind.DIRECTORY), modified=AT)
    with pytest.raises(KeyNotRepresentable):
        store.put_link(key, some_facts(PosixKind.SYMLINK), modified=AT, create_only=False)


def test_a_dressed_file_appears_with_mode_and_time_and_was_private_before(root, store):
    staged_modes = []

    def chunks():
        staged_modes.extend(stat.S_IMODE(path.stat().st_mode) for path in (root / ".lc2-staging").iterdir())
        yield b"secret"

    info = store.dressed(some_facts(mode=0o4751), AT).put_stream("file", chunks(), size_bytes=6)

    assert staged_modes == [0o600]
    assert status_of(root / "file") == (0o4751, AT_NS)
    assert info == store.stat("file")
    assert info.posix.mode == 0o4751
    store.put("plain", b"x")
    assert status_of(root / "plain")[0] == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_dressed_copy_by_the_kernel_has_them_too(root, store, tmp_path):
    other = DirectoryStore(tmp_path / "other", create=True)
    other.put("stored", b"content")

    store.dressed(some_facts(mode=0o400), AT).copy_from(other, "stored", "file", size_bytes=7)

    assert status_of(root / "file") == (0o400, AT_NS)
    assert (root / "file").read_bytes() == b"content"


def test_a_link_is_made_as_it_was_and_replaces_only_when_it_may(root, store, tmp_path):
    (tmp_path / "outside").write_bytes(b"theirs")
    facts = some_facts(PosixKind.SYMLINK, target=str(tmp_path / "outside"))

    made = store.put_link("way", facts, modified=AT, create_only=True)

    assert (root / "way").readlink() == tmp_path / "outside"
    assert (root / "way").lstat().st_mtime_ns == AT_NS
    assert made == store.stat("way")
    with pytest.raises(AlreadyExists):
        store.put_link("way", facts, modified=AT, create_only=True)
    store.put_link("way", replace(facts, target="b\udcff"), modified=AT, create_only=False)
    assert os.readlink(os.fsencode(root / "way")) == b"b\xff"  # noqa: PTH115
    store.dressed(some_facts(), AT).put("way", b"a file in its place", create_only=False)
    assert (root / "way").read_bytes() == b"a file in its place"
    assert (tmp_path / "outside").read_bytes() == b"theirs"
    (root / "folder").mkdir()
    with pytest.raises(KeyNotRepresentable, match="folder"):
        store.put_link("folder", facts, modified=AT, create_only=False)
    assert list((root / ".lc2-staging").iterdir()) == []


def test_a_folder_is_private_until_it_is_finished_and_a_later_restore_knows_it(root, store):
    facts = some_facts(PosixKind.DIRECTORY, mode=0o2555)

    assert store.make_folder("a/", take_over=False)
    assert status_of(root / "a")[0] == 0o1700
    assert store.make_folder("a/", take_over=False), "made by a restore that broke off"
    store.put("a/child", b"x")
    finished = store.finish_folder("a/", facts, modified=AT)

    assert status_of(root / "a") == (0o2555, AT_NS)
    assert finished == store.stat("a/")
    assert not store.make_folder("a/", take_over=False), "somebody's own now"
    assert status_of(root / "a")[0] == 0o2555


def test_a_folder_that_is_taken_over_becomes_writable_for_its_owner(root, store):
    (root / "a").mkdir(0o500)

    assert not store.make_folder("a/", take_over=False)
    assert status_of(root / "a")[0] == 0o500
    assert store.make_folder("a/", take_over=True)
    assert status_of(root / "a")[0] == 0o700


def test_deletes_take_files_links_and_empty_folders_that_are_named_and_nothing_else(root, store, tmp_path):
    (tmp_path / "outside").mkdir()
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/file").write_bytes(b"x")
    (root / "kept/inside").mkdir(parents=True)
    (root / "way").symlink_to(tmp_path / "outside")

    store.delete(["a/", "a/b/", "a/b/file", "kept/", "way", "absent", "absent/"])

    assert keys_of(store) == ["kept/", "kept/inside/"]
    assert (tmp_path / "outside").is_dir()
    store.put("kept/inside/file", b"x")
    store.delete(["kept/inside/file"])
    assert keys_of(store) == ["kept/", "kept/inside/"], "a folder that a delete empties stays"


def test_a_check_leaves_no_folder_behind(root, store):
    store.check(write=True)

    assert keys_of(store) == []


def test_sockets_are_named_and_not_opened(root, store, monkeypatch):
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")

        assert [(info.key, info.kind) for info in store.list()] == [("socket", PosixKind.SPECIAL)]
        with pytest.raises(ObjectNotFound):
            store.get("socket")


def test_times_that_no_calendar_has_are_taken_for_the_last_one_that_has(root, store, monkeypatch):
    (root / "file").write_bytes(b"x")
    os.utime(root / "file", ns=(0, -1))
    assert store.stat("file").modified == datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert store.stat("file").posix.nanoseconds == 999

    class Late:
        st_mtime_ns = 10**24

    assert local_facts.modified_of(Late()) == datetime.max.replace(tzinfo=UTC)


def test_a_view_below_a_prefix_is_a_tree_too(root, store):
    view = posix_store(PrefixedStore(store, "below/"))
    assert view is not None
    assert posix_store(DirectoryStore(root)) is None
    assert posix_store(PrefixedStore(DirectoryStore(root), "below/")) is None

    assert view.make_folder("a/", take_over=False)
    made = view.put_link("a/way", some_facts(PosixKind.SYMLINK), modified=AT, create_only=True)
    view.dressed(some_facts(mode=0o400), AT).put("a/file", b"x")
    finished = view.finish_folder("a/", some_facts(PosixKind.DIRECTORY, mode=0o700), modified=AT)

    assert (made.key, finished.key) == ("a/way", "a/")
    assert keys_of(store) == ["below/", "below/a/", "below/a/file", "below/a/way"]
    assert status_of(root / "below/a/file") == (0o400, AT_NS)


def test_files_links_and_folders_go_to_their_owners(root, store):
    uid, gid = (4321, 8765) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    owner = {"uid": uid, "gid": gid}
    store.dressed(some_facts(mode=0o6755, **owner), AT).put("file", b"x")
    store.put_link("way", some_facts(PosixKind.SYMLINK, **owner), modified=AT, create_only=True)
    store.make_folder("a/", take_over=False)
    store.finish_folder("a/", some_facts(PosixKind.DIRECTORY, mode=0o3750, **owner), modified=AT)

    for name in ("file", "way", "a"):
        status = (root / name).lstat()
        assert (status.st_uid, status.st_gid) == (uid, gid), name
    assert status_of(root / "file") == (0o6755, AT_NS)
    assert status_of(root / "a") == (0o3750, AT_NS)


def test_who_may_not_give_files_away_keeps_them_without_the_rights_of_others(tmp_path):
    root = visible_to_all(tmp_path) if os.geteuid() == 0 else tmp_path
    if os.geteuid() == 0:
        os.chown(root, NOBODY, -1)
    store = DirectoryStore(root, posix=True)
    theirs = {"uid": 4321, "gid": 8765, "user": None}
    with without_privileges():
        file = store.dressed(some_facts(mode=0o6755, **theirs), AT).put("file", b"x")
        link = store.put_link("way", some_facts(PosixKind.SYMLINK, **theirs), modified=AT, create_only=True)
        store.make_folder("a/", take_over=False)
        folder = store.finish_folder("a/", some_facts(PosixKind.DIRECTORY, mode=0o555, **theirs), modified=AT)

        assert {(info.posix.uid, info.posix.gid) for info in (file, link, folder)} == {(os.geteuid(), os.getegid())}
        assert file.posix.mode == 0o755
        assert folder.posix.mode == 0o555
        assert store.ids_of(some_facts(**theirs)) == (4321, 8765)
        with pytest.raises(AccessDenied):
            store.put("a/child", b"x")


def test_a_file_system_without_owners_and_modes_still_takes_the_content(root, store, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    for name in ("fchown", "fchmod", "utime"):
        monkeypatch.setattr(os, name, refused)
    info = store.dressed(some_facts(uid=os.geteuid() + 1), AT).put("file", b"x")

    assert (root / "file").read_bytes() == b"x"
    assert info.posix.uid == os.geteuid()


def test_other_errors_while_facts_are_set_are_errors(root, store, monkeypatch):
    def failing(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "fchmod", failing)
    with pytest.raises(AccessDenied):
        store.dressed(some_facts(), AT).put("file", b"x")
    monkeypatch.undo()
    assert keys_of(store) == []
