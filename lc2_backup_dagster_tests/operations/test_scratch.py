"""Scratch folders: empty, private, gone afterwards, and cleaned of what dead processes left."""

import os
import socket
import subprocess
import sys

import pytest

from lc2_backup_dagster.model.errors import AccessDenied, StorageFull
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster_tests.operations.tiny_site import SITE


@pytest.fixture
def dead_pid():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_folder_is_empty_private_and_gone_afterwards(tmp_path):
    with scratch_folder(tmp_path, SITE, "database") as folder:
        assert list(folder.iterdir()) == []
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").write_text("x")
    assert not folder.exists()


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_uses_stays(tmp_path, dead_pid):
    above = tmp_path / f"lc2-backup-{os.getuid()}" / "retail" / "liferay"
    left = above / f"database.{socket.gethostname()}.{dead_pid}"
    used = above / f"database.{socket.gethostname()}.{os.getppid()}"
    elsewhere = above / f"database.another-host.{dead_pid}"
    otherwise = above / f"verify.{socket.gethostname()}.{dead_pid}"
    for folder in (left, used, elsewhere, otherwise):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    with scratch_folder(tmp_path, SITE, "database"):
        pass
    assert [folder.exists() for folder in (left, used, elsewhere, otherwise)] == [False, True, True, True]


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path):
    (tmp_path / f"lc2-backup-{os.getuid()}").write_text("a file where a folder should be")
    with (
        pytest.raises(StorageFull, match=r"cannot be made.*database\.scratchDirectory"),
        scratch_folder(tmp_path, SITE, "database"),
    ):
        pass


def test_a_folder_of_another_account_is_not_used(tmp_path, monkeypatch):
    other = os.getuid() + 1
    (tmp_path / f"lc2-backup-{other}").mkdir()  # made by this account under the name of the other one
    monkeypatch.setattr(os, "getuid", lambda: other)
    with pytest.raises(AccessDenied, match="belongs to somebody else"), scratch_folder(tmp_path, SITE, "database"):
        pass
