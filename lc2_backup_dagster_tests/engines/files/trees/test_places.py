"""Where trees are restored to: places that hold other things, hold less, or allow less."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.clouds.store import PosixKind
from lc2_backup_dagster.engines.files.manifest.selection import Selection
from lc2_backup_dagster.engines.files.restore.remarks import remarks
from lc2_backup_dagster.engines.files.restore.writing import Conflict
from lc2_backup_dagster.model.errors import StoreUnavailable, TargetNotEmpty
from lc2_backup_dagster_tests.engines.files.library import Library, fill
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock
from lc2_backup_dagster_tests.privileges import NOBODY, visible_to_all, without_privileges
from lc2_backup_dagster_tests.trees import facts_of_tree

ROOT = os.geteuid() == 0


def test_a_choice_brings_the_folders_above_it_in_capture_and_restore(
    library: Library, tree: Path, target: DirectoryStore, tmp_path: Path
):
    backup = library.capture(include=lambda key: key.endswith(("key", "nothing", "report.txt")))
    assert [entry.key for entry in library.entries(backup)] == [
        "docs/", "docs/report.txt", "nothing", "private/", "private/key",
    ]  # fmt: skip
    assert library.done.excluded == 6, "files and links, not folders"

    library.restore(backup, target, selection=Selection.matching(["*/key"]))

    expected = facts_of_tree(tree)
    assert facts_of_tree(tmp_path / "target") == {name: expected[name] for name in ("private", "private/key")}


def test_places_that_hold_no_links_get_the_files_and_name_the_rest(library: Library):
    backup = library.capture()
    target = MemoryStore()

    result = library.restore(backup, target)

    assert sorted(target.objects) == sorted(
        entry.key for entry in library.entries(backup) if entry.kind is PosixKind.FILE
    )
    assert result.links_left_out.count == 3
    assert ("docs/latest", "to report.txt") in result.links_left_out.samples
    assert result.folders_left_out.count == 4
    told = "\n".join(remarks(result))
    assert "3 symbolic links were left out" in told
    assert "'dangling' (to /nowhere/at all)" in told
    assert "4 folders were left out" in told


def test_objects_of_a_bucket_come_into_a_directory_as_ever(key: KeyFile, target: DirectoryStore, tmp_path: Path):
    source = MemoryStore()
    fill(source, {"a/b": b"1", "c": b"2" * 9000})
    library = Library(source, MemoryStore(), key=key, clock=SetClock())

    result = library.restore(library.capture(), target)

    assert (tmp_path / "target/a/b").read_bytes() == b"1"
    assert (result.written, result.folders, result.facts_unset.count) == (2, 0, 0)
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "target/c").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_target_that_holds_anything_is_refused(library: Library, target: DirectoryStore, tmp_path: Path):
    backup = library.capture()
    makers: list[Callable[[Path], object]] = [
        Path.mkdir,
        lambda path: path.symlink_to("x"),
        lambda path: os.mkfifo(path),
    ]
    for make in makers:
        path = tmp_path / "target/there"
        make(path)
        with pytest.raises(TargetNotEmpty, match="there"):
            library.restore(backup, target)
        path.rmdir() if path.is_dir() else path.unlink()


def test_folders_that_are_there_are_no_conflict_for_a_choice_and_stay_as_they_are(
    library: Library, target: DirectoryStore, tmp_path: Path
):
    backup = library.capture()
    (tmp_path / "target/docs").mkdir(mode=0o711)

    library.restore(backup, target, selection=Selection.below("docs/"))

    assert (tmp_path / "target/docs").stat().st_mode & 0o7777 == 0o711
    assert (tmp_path / "target/docs/latest").is_symlink()
    with pytest.raises(TargetNotEmpty, match="docs/latest"):
        library.restore(backup, target, selection=Selection.below("docs/la"))


def test_what_is_there_stays_under_skip(library: Library, tree: Path, target: DirectoryStore, tmp_path: Path):
    backup = library.capture()
    there = tmp_path / "target"
    (there / "docs").mkdir(mode=0o711)
    (there / "docs/latest").symlink_to("theirs")
    (there / "dangling").symlink_to("/nowhere/at all")
    (there / "nothing").symlink_to("theirs")

    result = library.restore(backup, target, conflict=Conflict.SKIP)

    assert (result.kept, result.kept_differing, result.written, result.folders) == (3, 2, 6, 3)
    assert (there / "docs").stat().st_mode & 0o7777 == 0o711
    assert os.readlink(there / "docs/latest") == "theirs"  # noqa: PTH115
    assert not (there / "theirs").exists()
    again = library.restore(backup, target, conflict=Conflict.SKIP)
    assert (again.written, again.kept, again.folders) == (0, 9, 0)


@pytest.mark.parametrize("conflict", [Conflict.REFUSE, Conflict.SKIP])
def test_what_somebody_makes_meanwhile_in_the_place_of_a_link_is_not_replaced(
    library: Library, target: DirectoryStore, tmp_path: Path, conflict: Conflict
):
    backup = library.capture()
    entries = library.entries

    def made_meanwhile(backup_id: str):
        (tmp_path / "target/dangling").write_bytes(b"theirs")
        return entries(backup_id)

    library.entries = made_meanwhile  # type: ignore[method-assign]
    if conflict is Conflict.REFUSE:
        with pytest.raises(TargetNotEmpty, match="'dangling' appeared"):
            library.restore(backup, target, conflict=conflict)
    else:
        library.restore(backup, target, conflict=conflict)

    assert (tmp_path / "target/dangling").read_bytes() == b"theirs"


def test_overwrite_makes_everything_as_it_was(library: Library, tree: Path, target: DirectoryStore, tmp_path: Path):
    backup = library.capture()
    there = tmp_path / "target"
    (there / "docs").mkdir(mode=0o500 if not ROOT else 0o711)
    (there / "dangling").write_bytes(b"a file where a link was")
    (there / "nothing").symlink_to(tmp_path / "outside")
    (there / "extra").write_bytes(b"theirs")

    result = library.restore(backup, target, conflict=Conflict.OVERWRITE)

    found = facts_of_tree(there)
    assert found.pop("extra")
    assert found == facts_of_tree(tree)
    assert not (tmp_path / "outside").exists()
    assert (result.overwritten, result.folders) == (2, 4)


def test_overwrite_in_place_writes_only_what_differs(library: Library, tree: Path):
    backup = library.capture()
    before = facts_of_tree(tree)
    inode = (tree / "docs/several").stat().st_ino
    (tree / "run.sh").chmod(0o777)
    (tree / "docs/latest").unlink()
    (tree / "docs/latest").symlink_to("elsewhere")
    (tree / "docs/empty").chmod(0o700)

    result = library.restore(backup, DirectoryStore(tree, posix=True), conflict=Conflict.OVERWRITE)

    assert facts_of_tree(tree) == before
    assert (tree / "docs/several").stat().st_ino == inode
    assert (result.written, result.kept) == (2, 7)


def test_a_restore_that_breaks_off_is_finished_by_the_next(
    library: Library, tree: Path, target: DirectoryStore, tmp_path: Path
):
    backup = library.capture()

    class Failing(DirectoryStore):
        left = 3

        def dressed(self, facts, modified):
            if Failing.left == 0:
                raise StoreUnavailable("stale file handle")
            Failing.left -= 1
            return super().dressed(facts, modified)

    with pytest.raises(StoreUnavailable):
        library.restore(backup, Failing(tmp_path / "target", posix=True))
    assert facts_of_tree(tmp_path / "target") != facts_of_tree(tree)
    modes = {
        path.stat().st_mode & 0o7777 for path in (tmp_path / "target").iterdir() if path.name in ("docs", "private")
    }
    assert modes == {0o1700}

    library.restore(backup, target, conflict=Conflict.SKIP)

    assert facts_of_tree(tmp_path / "target") == facts_of_tree(tree)


def test_what_the_backup_does_not_have_goes_and_folders_are_as_they_were(
    library: Library, tree: Path, target: DirectoryStore, tmp_path: Path
):
    backup = library.capture()
    library.restore(backup, target)
    there = tmp_path / "target"
    (there / "docs/extra").write_bytes(b"x")
    (there / "new/deeper/empty").mkdir(parents=True)
    (there / "new/deeper/file").write_bytes(b"x")
    (there / "new/way").symlink_to("/")
    (there / "mixed/empty").mkdir(parents=True)
    (there / "mixed/cache").write_bytes(b"not of the backup's kind")
    (there / "docs").chmod(0o555)

    result = library.restore(
        backup, target, conflict=Conflict.OVERWRITE, delete_extra=lambda key: not key.endswith("cache")
    )

    found = facts_of_tree(there)
    assert found.pop("mixed/cache")
    assert found.pop("mixed")
    assert found == facts_of_tree(tree)
    assert {key for key, _ in result.deleted.samples} == {
        "docs/extra", "mixed/empty/", "new/", "new/deeper/", "new/deeper/empty/", "new/deeper/file", "new/way",
    }  # fmt: skip


def test_a_backup_without_folders_keeps_those_that_its_files_need(
    library: Library, tree: Path, target: DirectoryStore, tmp_path: Path
):
    library.source = DirectoryStore(tree)
    backup = library.capture()
    library.restore(backup, target)
    (tmp_path / "target/other").mkdir()

    result = library.restore(backup, target, conflict=Conflict.OVERWRITE, delete_extra=lambda key: True)

    assert [key for key, _ in result.deleted.samples] == ["other/"]
    assert (tmp_path / "target/docs/report.txt").is_file()


def test_files_are_sent_once_although_this_process_may_not_give_them_away(tmp_path: Path, key: KeyFile):
    if ROOT:
        visible_to_all(tmp_path)
    for place in (tmp_path / "tree", tmp_path / "target"):
        place.mkdir()
    (tmp_path / "tree/tool").write_bytes(b"x")
    (tmp_path / "tree/tool").chmod(0o4755)
    (tmp_path / "tree/way").symlink_to("tool")
    if ROOT:
        os.chown(tmp_path / "target", NOBODY, -1)
    library = Library(
        DirectoryStore(tmp_path / "tree", posix=True), MemoryStore(), key=key, clock=SetClock(), scratch=tmp_path
    )
    backup = library.capture()
    library.scratch = None
    with without_privileges():
        target = DirectoryStore(tmp_path / "target", posix=True)
        first = library.restore(backup, target, conflict=Conflict.OVERWRITE)
        again = library.restore(backup, target, conflict=Conflict.OVERWRITE)
        (tmp_path / "target/tool").chmod(0o700)
        changed = library.restore(backup, target, conflict=Conflict.OVERWRITE)

    assert (first.written, first.facts_unset.count) == (2, 2 if ROOT else 0)
    assert (again.written, again.kept) == (0, 2)
    assert (changed.written, changed.kept) == (1, 1)


def test_without_root_read_only_folders_take_their_files_and_owners_are_named(tmp_path: Path, key: KeyFile):
    if ROOT:
        visible_to_all(tmp_path)
    for place in (tmp_path / "tree", tmp_path / "target"):
        place.mkdir()
    tree = tmp_path / "tree"
    (tree / "sealed/deeper").mkdir(parents=True)
    (tree / "sealed/deeper/file").write_bytes(b"x" * 5000)
    (tree / "sealed/way").symlink_to("deeper")
    (tree / "tool").write_bytes(b"x")
    if ROOT:
        for path in (tree / "sealed/deeper/file", tree / "sealed", tree / "sealed/deeper", tree / "sealed/way"):
            os.chown(path, NOBODY, -1, follow_symlinks=False)
        os.chown(tmp_path / "target", NOBODY, -1)
    (tree / "tool").chmod(0o4755)
    for path in (tree / "sealed/deeper", tree / "sealed"):
        path.chmod(0o555)
    if ROOT:  # who is not root cannot back this one up, but get it back
        (tree / "closed/deeper").mkdir(parents=True)
        os.chown(tree / "closed/deeper", NOBODY, -1)
        os.chown(tree / "closed", NOBODY, -1)
        (tree / "closed/deeper").chmod(0o700)
        (tree / "closed").chmod(0)
    library = Library(DirectoryStore(tree, posix=True), MemoryStore(), key=key, clock=SetClock(), scratch=tmp_path)
    backup = library.capture()
    (tmp_path / "target").chmod(0o755)
    with without_privileges():
        library.scratch = None
        result = library.restore(backup, DirectoryStore(tmp_path / "target", posix=True))

    expected, found = facts_of_tree(tree), facts_of_tree(tmp_path / "target")
    if ROOT:
        kind, time, mode, content, *_ = expected["tool"]
        expected["tool"] = (kind, time, "0o755", content, NOBODY, os.getegid())
        assert mode == "0o4755"
        assert [key for key, _ in result.facts_unset.samples] == ["tool"]
        assert "owner nobody" in result.facts_unset.samples[0][1]
        assert "instead of root" in result.facts_unset.samples[0][1]
        assert "mode 0755 instead of 4755" in result.facts_unset.samples[0][1]
        assert "only root may give files to others: 'tool'" in "\n".join(remarks(result))
    assert found == expected
