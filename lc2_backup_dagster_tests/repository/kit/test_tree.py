"""The kit brings back links, folders, owners, modes and times, and writes nowhere but below its directory."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.repository.kit import put_kit
from lc2_backup_dagster_tests.engines.files.library import Library, only_store
from lc2_backup_dagster_tests.fakes import SetClock
from lc2_backup_dagster_tests.privileges import NOBODY, visible_to_all, without_privileges
from lc2_backup_dagster_tests.repository.kit.running import run_kit
from lc2_backup_dagster_tests.repository.kit.test_restore import load_kit
from lc2_backup_dagster_tests.trees import facts_of_tree

MIB = 1 << 20
ROOT = os.geteuid() == 0


def plant(root: Path) -> Path:
    (root / "a/empty").mkdir(parents=True)
    (root / "a/way").symlink_to("../b/")
    (root / "a" / os.fsdecode(b"\xff\n")).write_bytes(b"odd")
    (root / "nowhere").symlink_to("/nowhere/at all")
    (root / "tool").write_bytes(b"tool")
    (root / "tool").chmod(0o4711)
    with (root / "sparse").open("wb") as file:
        file.write(b"head")
        file.truncate(20 * MIB)
    if ROOT:
        os.chown(root / "tool", 4321, 8765)
        (root / "tool").chmod(0o4711)
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, ns=(0, 1_500_000_000_123_456_000 + number * 1_000_000_789), follow_symlinks=False)
    (root / "a").chmod(0o555)
    return root


@pytest.mark.parametrize("copied_by_the_store", [False, True])
def test_a_tree_comes_back_whole(tmp_path, copied_by_the_store):
    tree = plant(tmp_path / "tree")
    store = DirectoryStore(tmp_path / "repository", create=True)
    key = None if copied_by_the_store else KeyFile.create(tmp_path / "key")
    rules = {"protection_of": only_store} if copied_by_the_store else {}
    library = Library(DirectoryStore(tree, posix=True), store, key=key, clock=SetClock(), **rules)
    backup = library.capture()
    put_kit(store)
    script = tmp_path / "repository/kit/0.1.0/restore.py"
    secret = ["--key-file", tmp_path / "key"] if key else []

    answer = run_kit(script, "files", tmp_path / "repository", backup, tmp_path / "new", *secret)

    assert answer.returncode == 0, answer.stderr
    assert facts_of_tree(tmp_path / "new") == facts_of_tree(tree)
    assert (tmp_path / "new/sparse").stat().st_blocks * 512 < 2 * MIB
    assert b"2 links and 2 folders, 0 failed" in answer.stderr
    assert b"3 files done, 0 failed; %d have no SHA-256" % (3 if copied_by_the_store else 0) in answer.stderr
    assert not (tmp_path / "repository/kit/0.1.0/__pycache__").exists()
    answer = run_kit(script, "verify", tmp_path / "repository", backup, *secret)
    assert answer.returncode == 0, answer.stderr
    assert b"3 files done" in answer.stderr


def an_entry(kind: str, key: str, *, target: str = "", **changes: Any) -> dict[str, Any]:
    facts = [kind, 0o777, os.geteuid(), os.getegid(), None, None, 0, *([target] if kind == "l" else [])]
    entry = {"k": key, "s": 0 if kind != "f" else 1, "t": 0, "p": facts, "l": ["n"] if kind != "f" else []}
    return {**entry, **changes}


class Hostile:
    def __init__(self, *entries: dict[str, Any]) -> None:
        self._entries = sorted(entries, key=lambda entry: entry["k"])

    def entries(self, manifest: object) -> Iterator[dict[str, Any]]:
        yield from self._entries

    def content(self, entry: dict[str, Any], bundles: object) -> Iterator[bytes]:
        if entry["l"] != ["n"]:
            yield b"x"


@pytest.mark.parametrize(
    "wanted",
    [
        [("f", "../outside/new")],
        [("l", "../outside/new")],
        [("d", "../outside/")],
        [("d", "/")],
        [("f", "/outside/new")],
        [("l", "a"), ("f", "a/new")],
        [("l", "a"), ("f", "a/theirs")],
        [("l", "a"), ("l", "a/new")],
        [("l", "a"), ("d", "a/"), ("f", "a/theirs")],
        [("l", "a"), ("d", "a/new/")],
        [("f", "a"), ("f", "a/b")],
    ],
)
def test_whatever_the_manifest_says_the_kit_writes_nothing_outside(tmp_path, wanted):
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o711)
    (outside / "theirs").write_bytes(b"theirs")
    before = facts_of_tree(outside), outside.stat()
    kit = load_kit()
    entries = [an_entry(kind, key, target=str(outside)) for kind, key in wanted]

    code = kit["each_file"](Hostile(*entries, an_entry("f", "good")), {}, tmp_path / "in", "")

    assert code == kit["INCOMPLETE"]
    assert (facts_of_tree(outside), outside.stat()) == before
    assert {path.name for path in tmp_path.iterdir()} == {"outside", "in"}
    assert (tmp_path / "in/good").read_bytes() == b"x"


def test_who_may_not_give_files_away_keeps_them_without_the_rights_of_others(tmp_path, capsys):
    if ROOT:
        visible_to_all(tmp_path)
        os.chown(tmp_path, NOBODY, -1)
    kit = load_kit()
    facts = ["f", 0o6755, 4321, 8765, None, None, 789]
    with without_privileges():
        code = kit["each_file"](
            Hostile(an_entry("f", "tool", p=facts), an_entry("d", "a/"), an_entry("f", "a/file")),
            {},
            tmp_path / "in",
            "",
        )
        status = (tmp_path / "in/tool").stat()

    assert code == 0
    assert stat.S_IMODE(status.st_mode) == 0o755
    assert (status.st_uid, status.st_mtime_ns) == (NOBODY if ROOT else os.geteuid(), 789)
    assert "1 have another owner than they had" in capsys.readouterr().err


def test_a_closed_folder_gets_its_mode_after_what_is_in_it(tmp_path):
    if ROOT:
        visible_to_all(tmp_path)
        os.chown(tmp_path, NOBODY, -1)
    kit = load_kit()

    def folder(key: str, mode: int) -> dict[str, Any]:
        return an_entry("d", key, p=["d", mode, NOBODY if ROOT else os.geteuid(), os.getegid(), None, None, 0])

    with without_privileges():
        code = kit["each_file"](
            Hostile(
                folder("a/", 0), folder("a/b/", 0o500), an_entry("f", "a/b/file"), an_entry("l", "a/x", target="b")
            ),
            {},
            tmp_path / "in",
            "",
        )
        (tmp_path / "in/a").chmod(0o700)

    assert code == 0
    assert stat.S_IMODE((tmp_path / "in/a/b").stat().st_mode) == 0o500
    assert (tmp_path / "in/a/b/file").read_bytes() == b"x"
    assert (tmp_path / "in/a/x").is_symlink()


def test_owners_go_by_name_where_this_machine_knows_it(tmp_path):
    kit = load_kit()
    owner = ["f", 0o600, 4321 if ROOT else os.geteuid(), os.getegid(), "root" if ROOT else None, "no such group", 0]

    assert kit["each_file"](Hostile(an_entry("f", "file", p=owner)), {}, tmp_path / "in", "") == 0

    assert (tmp_path / "in/file").stat().st_uid == os.geteuid()


def test_files_are_private_before_they_get_their_mode(tmp_path):
    kit, seen = load_kit(), []

    class Watched(Hostile):
        def content(self, entry, bundles):
            seen.append(stat.S_IMODE(next((tmp_path / "in").glob(".lc2-partial*")).stat().st_mode))
            yield b"x"

    assert kit["each_file"](Watched(an_entry("f", "file")), {}, tmp_path / "in", "") == 0
    assert seen == [0o600]
    assert stat.S_IMODE((tmp_path / "in/file").stat().st_mode) == 0o777
