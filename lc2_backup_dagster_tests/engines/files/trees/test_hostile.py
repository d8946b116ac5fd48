"""Whatever a manifest says and wherever links lead, a restore writes below its target only."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.engines.files.manifest.entry import FileEntry
from lc2_backup_dagster.engines.files.restore.writing import Conflict
from lc2_backup_dagster.model.errors import KeyNotRepresentable
from lc2_backup_dagster_tests.engines.files.library import Library
from lc2_backup_dagster_tests.trees import facts_of_tree


@pytest.fixture
def hostile(library: Library, tmp_path: Path) -> Callable[..., list[FileEntry]]:
    """Return entries as nobody writes them, with contents that are there."""
    by_key = {entry.key: entry for entry in library.entries(library.capture())}
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "theirs").write_bytes(b"theirs")
    (outside / "theirs").chmod(0o600)
    outside.chmod(0o711)

    def entries(*wanted: tuple[str, str]) -> list[FileEntry]:
        found: list[FileEntry] = []
        for kind, name in wanted:
            model = by_key[{"file": "run.sh", "link": "dangling", "folder": "docs/"}[kind]]
            assert model.posix is not None
            posix = replace(model.posix, mode=0o777)
            if kind == "link":
                posix = replace(posix, target=str(outside))
            found.append(replace(model, key=name, posix=posix))
        return sorted(found, key=lambda entry: entry.key)

    return entries


@pytest.mark.parametrize("conflict", list(Conflict))
@pytest.mark.parametrize(
    "wanted",
    [
        [("file", "../outside/new")],
        [("file", "../outside/theirs")],
        [("link", "../outside/new")],
        [("folder", "../outside/")],
        [("folder", "../outside/new/")],
        [("file", "/outside/new")],
        [("folder", "/")],
        [("file", "a/../../outside/new")],
        [("link", "a"), ("file", "a/new")],
        [("link", "a"), ("file", "a/theirs")],
        [("link", "a"), ("link", "a/new")],
        [("link", "a"), ("folder", "a/"), ("file", "a/theirs")],
        [("link", "a"), ("folder", "a/new/"), ("file", "a/new/x")],
        [("file", "a"), ("file", "a/b")],
    ],
)
def test_whatever_the_manifest_says_nothing_is_written_outside(
    library: Library,
    hostile: Callable[..., list[FileEntry]],
    target: DirectoryStore,
    tmp_path: Path,
    wanted: list[tuple[str, str]],
    conflict: Conflict,
):
    outside = facts_of_tree(tmp_path / "outside"), (tmp_path / "outside").stat()
    entries = hostile(*wanted, ("file", "good"))
    library.entries = lambda backup_id: iter(entries)  # type: ignore[method-assign]

    with pytest.raises(KeyNotRepresentable, match="have no place in") as caught:
        library.restore("", target, conflict=conflict)

    assert (facts_of_tree(tmp_path / "outside"), (tmp_path / "outside").stat()) == outside
    assert {path.name for path in tmp_path.iterdir()} == {"tree", "target", "site.key", "outside"}
    assert (tmp_path / "target/good").read_bytes() == b"#!/bin/sh\n", "all others are restored"
    assert caught.value.attributes["refused"]


@pytest.mark.parametrize("conflict", [Conflict.SKIP, Conflict.OVERWRITE])
def test_links_that_were_in_the_target_lead_nowhere_either(
    library: Library,
    hostile: Callable[..., list[FileEntry]],
    target: DirectoryStore,
    tmp_path: Path,
    conflict: Conflict,
):
    outside = facts_of_tree(tmp_path / "outside"), (tmp_path / "outside").stat()
    (tmp_path / "target/a").symlink_to(tmp_path / "outside")
    (tmp_path / "target/b").mkdir()
    (tmp_path / "target/b/c").symlink_to("../../outside")
    entries = hostile(("folder", "a/"), ("file", "a/theirs"), ("folder", "b/"), ("folder", "b/c/"), ("link", "b/c/x"))
    library.entries = lambda backup_id: iter(entries)  # type: ignore[method-assign]

    with pytest.raises(KeyNotRepresentable):
        library.restore("", target, conflict=conflict)

    assert (facts_of_tree(tmp_path / "outside"), (tmp_path / "outside").stat()) == outside
    assert (tmp_path / "target/a").is_symlink()
