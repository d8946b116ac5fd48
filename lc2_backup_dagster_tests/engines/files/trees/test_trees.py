"""Trees with links, folders, owners and modes: captured, compared with the backup before, and back again."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.clouds.prefixed import PrefixedStore
from lc2_backup_dagster.clouds.store import PosixKind
from lc2_backup_dagster.engines.files.contents import StoredContents
from lc2_backup_dagster.engines.files.manifest.entry import encode_entry
from lc2_backup_dagster.engines.files.matching import match_rows
from lc2_backup_dagster.engines.files.restore.remarks import remarks
from lc2_backup_dagster.model.application import FileReference
from lc2_backup_dagster_tests.engines.files.library import Library, only_store
from lc2_backup_dagster_tests.fakes import SetClock
from lc2_backup_dagster_tests.trees import facts_of_tree

MIB = 1 << 20
ROOT = os.geteuid() == 0


def test_a_tree_comes_back_with_everything_in_it(library: Library, tree: Path, target: DirectoryStore, tmp_path: Path):
    backup = library.capture()
    result = library.restore(backup, target)

    assert facts_of_tree(tmp_path / "target") == facts_of_tree(tree)
    counts = library.done.counts
    assert (counts.objects, counts.links, counts.folders) == (6, 3, 4)
    assert (counts.added, counts.copied_objects) == (9, 6)
    assert (result.written, result.links, result.folders) == (9, 3, 4)
    assert result.facts_unset.count == result.links_left_out.count == result.folders_left_out.count == 0
    assert remarks(result) == []


def test_a_tree_below_prefixes_comes_back_too(library: Library, tree: Path, target: DirectoryStore, tmp_path: Path):
    library.source = PrefixedStore(DirectoryStore(tree, posix=True), "docs/")
    backup = library.capture()

    library.restore(backup, PrefixedStore(target, "some/place/"))

    assert facts_of_tree(tmp_path / "target/some/place") == facts_of_tree(tree / "docs")
    assert [entry.key for entry in library.entries(backup)] == ["empty/", "latest", "report.txt", "several", "up"]


def test_a_tree_whose_files_the_store_copies_comes_back_too(
    tree: Path, key: KeyFile, target: DirectoryStore, tmp_path: Path
):
    library = Library(
        DirectoryStore(tree, posix=True),
        DirectoryStore(tmp_path / "repository", create=True),
        key=key,
        clock=SetClock(),
        protection_of=only_store,
    )
    backup = library.capture()
    library.restore(backup, target)

    assert facts_of_tree(tmp_path / "target") == facts_of_tree(tree)
    library.capture()
    assert (library.done.counts.unchanged, library.done.counts.changed) == (9, 0)
    assert library.done.counts.sha256_pending == 6, "links and folders have no bytes to be hashed"


def test_an_unchanged_tree_costs_nothing(library: Library, tree: Path):
    first = list(library.entries(library.capture()))
    for path in (tree, tree / "private/key"):
        path.stat()

    second = list(library.entries(library.capture()))

    counts = library.done.counts
    assert second == first
    assert (counts.unchanged, counts.changed, counts.added, counts.removed) == (9, 0, 0, 0)
    assert (counts.copied_objects, counts.stored_bytes, counts.folders) == (0, 0, 4)


def _chmod(tree: Path) -> None:
    (tree / "docs/report.txt").chmod(0o600)


def _chown(tree: Path) -> None:
    os.chown(tree / "docs/report.txt", 77 if ROOT else -1, 88 if ROOT else -1)
    (tree / "docs/report.txt").chmod(0o640)


def _another_target(tree: Path) -> None:
    when = (tree / "docs/latest").lstat().st_mtime_ns
    (tree / "docs/latest").unlink()
    (tree / "docs/latest").symlink_to("several")
    os.utime(tree / "docs/latest", ns=(when, when), follow_symlinks=False)


@pytest.mark.parametrize(
    ("change", "changed"),
    [(_chmod, "docs/report.txt"), (_chown, "docs/report.txt"), (_another_target, "docs/latest")],
)
def test_a_change_of_mode_owner_or_target_is_a_new_entry_without_a_copy(
    library: Library, tree: Path, target: DirectoryStore, tmp_path: Path, change: Callable[[Path], None], changed: str
):
    before = {entry.key: entry for entry in library.entries(library.capture())}
    change(tree)

    backup = library.capture()

    after = {entry.key: entry for entry in library.entries(backup)}
    counts = library.done.counts
    assert (counts.changed, counts.facts_changed, counts.added, counts.removed) == (1, 1, 0, 0)
    assert (counts.copied_objects, counts.copied_bytes, counts.stored_bytes) == (0, 0, 0)
    assert after[changed] != before[changed]
    assert (after[changed].location, after[changed].sha256) == (before[changed].location, before[changed].sha256)
    assert {name for name in after if after[name] != before[name]} <= {changed, "docs/"}
    library.restore(backup, target)
    assert facts_of_tree(tmp_path / "target") == facts_of_tree(tree)


def test_what_takes_the_place_of_something_else_comes_back_as_that(
    library: Library, tree: Path, target: DirectoryStore, tmp_path: Path
):
    library.capture()
    (tree / "nothing").unlink()
    (tree / "nothing").symlink_to("run.sh")
    (tree / "dangling").unlink()
    (tree / "dangling").mkdir()
    (tree / "docs/latest").unlink()
    (tree / "docs/latest").write_bytes(b"a file now")

    backup = library.capture()
    library.restore(backup, target)

    assert facts_of_tree(tmp_path / "target") == facts_of_tree(tree)
    counts = library.done.counts
    assert (counts.added, counts.changed, counts.removed, counts.copied_objects) == (0, 2, 1, 1)


def test_facts_are_added_to_backups_that_had_none_without_a_copy(
    library: Library, tree: Path, target: DirectoryStore, tmp_path: Path
):
    library.source = DirectoryStore(tree)
    plain = library.capture()
    assert all(entry.posix is None for entry in library.entries(plain))
    library.source = DirectoryStore(tree, posix=True)

    backup = library.capture()

    counts = library.done.counts
    assert (counts.facts_changed, counts.added, counts.copied_objects, counts.stored_bytes) == (6, 3, 0, 0)
    library.restore(backup, target)
    assert facts_of_tree(tmp_path / "target") == facts_of_tree(tree)
    library.source = DirectoryStore(tree)
    last = list(library.entries(library.capture()))
    assert [encode_entry(entry) for entry in last] == [encode_entry(entry) for entry in library.entries(plain)]


def test_a_killed_capture_goes_on_with_the_facts_of_now(
    library: Library, tree: Path, target: DirectoryStore, tmp_path: Path
):
    class Killed(BaseException):
        pass

    from lc2_backup_dagster.engines.files.capture import transfer

    copied: list[int] = []

    def die(objects: int, size_bytes: int) -> None:
        copied.append(objects)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "_PROGRESS_SECONDS", 10**9)
        patch.setattr(transfer, "BUNDLE_FILES", 1)
        with pytest.raises(Killed):
            library.capture(progress=die)  # told at the very end: all is copied, nothing is committed
    (tree / "docs/report.txt").chmod(0o600)

    backup = library.capture()

    assert library.done.counts.resumed > 0
    library.restore(backup, target)
    assert facts_of_tree(tmp_path / "target") == facts_of_tree(tree)


def test_pipes_sockets_and_devices_are_named(library: Library, tree: Path):
    os.mkfifo(tree / "docs/pipe")
    os.mkfifo(tree / "pipe")

    backup = library.capture(include=lambda key: not key.startswith("docs/"))

    assert library.done.special.count == 1
    assert library.done.special.samples == [("pipe", "a pipe, socket or device")]
    assert "pipe" not in {entry.key for entry in library.entries(backup)}
    assert not library.done.partial


def test_a_sparse_file_comes_back_with_its_holes(library: Library, tree: Path, target: DirectoryStore, tmp_path: Path):
    with (tree / "sparse").open("wb") as file:
        file.seek(8 * MIB)
        file.write(b"in the middle")
        file.truncate(16 * MIB)

    library.restore(library.capture(), target)

    restored = tmp_path / "target/sparse"
    assert restored.read_bytes() == (tree / "sparse").read_bytes()
    assert restored.stat().st_blocks * 512 <= MIB


def test_verification_and_counts_know_what_has_no_content(library: Library):
    backup = library.capture()

    for deep in (False, True):
        found = library.verify(backup, deep=deep)
        assert (found.files, found.damaged_count) == (6, 0)
    link = next(entry for entry in library.entries(backup) if entry.kind is PosixKind.SYMLINK)
    assert list(StoredContents(library.repository).pieces(link)) == []
    assert link.stored_objects(library.repository.site) == []


def test_rows_that_name_files_match_those_of_a_tree(library: Library):
    backup = library.capture()
    rows = [
        FileReference("docs/", "1", None),
        FileReference("docs/latest", "2", 600),
        FileReference("docs/report.txt", "3", 600),
        FileReference("docs/several", "4", 1),
    ]

    match = match_rows(rows, library.entries(backup))

    assert match.files == 9
    assert match.dangling == ["docs/ (1)"]
    assert match.links == ["docs/latest (2)"]
    assert match.size_mismatches == ["docs/several (4): row 1, file 200000"]
    assert "docs/latest" not in match.orphans and "dangling" not in match.orphans
    assert match.orphan_count == 4
    assert not [key for key in match.orphans if key.endswith("/")]
