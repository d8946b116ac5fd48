"""A tree with everything in it, its library, and a place to restore it to."""

import os
import random
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster_tests.engines.files.library import Library
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock

ROOT = os.geteuid() == 0


@pytest.fixture(autouse=True)
def sizes(small_sizes: None) -> None:
    """Few bytes show every shape."""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a tree with everything in it."""
    root = tmp_path / "tree"
    (root / "docs/empty").mkdir(parents=True)
    (root / "docs/report.txt").write_bytes(b"report" * 100)
    (root / "docs/several").write_bytes(random.Random(1).randbytes(200_000))
    (root / "docs/latest").symlink_to("report.txt")
    (root / "docs/up").symlink_to("../docs/")
    (root / "dangling").symlink_to("/nowhere/at all")
    (root / "run.sh").write_bytes(b"#!/bin/sh\n")
    (root / "run.sh").chmod(0o4755)
    (root / "nothing").write_bytes(b"")
    (root / "private").mkdir()
    (root / "private/key").write_bytes(b"secret")
    (root / "private/key").chmod(0o400)
    if ROOT:
        os.chown(root / "private/key", 4321, 8765)
        os.chown(root / "dangling", 4321, 8765, follow_symlinks=False)
        os.chown(root / "private", 4321, 8765)
    odd = os.fsdecode(b"-odd\n\xff")
    (root / odd).mkdir()
    (root / odd / ("x" * 255)).write_bytes(b"odd")
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, ns=(0, 1_500_000_000_123_456_000 + number * 1_000_000_789), follow_symlinks=False)
    (root / "private").chmod(0o1510)
    (root / odd).chmod(0o3777)
    return root


@pytest.fixture
def library(tree: Path, key: KeyFile, tmp_path: Path) -> Library:
    return Library(DirectoryStore(tree, posix=True), MemoryStore(), key=key, clock=SetClock(), scratch=tmp_path)


@pytest.fixture
def target(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "target", create=True, posix=True)
