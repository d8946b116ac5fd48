"""A directory as the source of an export."""

import os
import socket

import pytest

from lc2_backup_dagster.engines.exports.directory_source import DirectorySource
from lc2_backup_dagster.engines.exports.ports import ExportFacts
from lc2_backup_dagster.model.errors import ExportInvalid, SourceChanged
from lc2_backup_dagster_tests.engines.exports.exporting import keep_source


def documents_of(directory, **options):
    return {each.path: each.content for each in DirectorySource(directory, **options).documents()}


def test_every_file_is_a_document(tmp_path, repository):
    (tmp_path / "sync/language/de").mkdir(parents=True)
    (tmp_path / "sync/core.extension.yml").write_bytes(b"module: {}\n")
    (tmp_path / "sync/language/de/system.site.yml").write_bytes(b"name: Seite\n")
    (tmp_path / "sync/empty").mkdir()
    source = DirectorySource(tmp_path / "sync", facts=ExportFacts({"drush": "13"}))
    stored, captured = keep_source(repository, source, required=["core.extension.yml"])
    assert [entry.path for entry in stored.entries()] == ["core.extension.yml", "language/de/system.site.yml"]
    assert captured.details == {"drush": "13"}


def test_only_what_is_wanted_is_read(tmp_path):
    (tmp_path / "a.yml").write_bytes(b"")
    (tmp_path / "settings.php").symlink_to("/etc/passwd")
    assert documents_of(tmp_path, include=lambda path: path.endswith(".yml")) == {"a.yml": b""}


def test_a_link_is_refused(tmp_path):
    (tmp_path / "a.yml").symlink_to("/etc/passwd")
    with pytest.raises(ExportInvalid, match="a.yml in .* is no regular file"):
        documents_of(tmp_path)


def test_a_link_to_a_folder_is_refused(tmp_path):
    (tmp_path / "etc").symlink_to("/etc")
    with pytest.raises(ExportInvalid, match="etc in .* is no regular file"):
        documents_of(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_what_is_no_file_is_refused_and_never_waited_for(kind, tmp_path, monkeypatch):
    if kind == "pipe":
        os.mkfifo(tmp_path / "x")
    else:
        monkeypatch.chdir(tmp_path)  # the name of a socket is short
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("x")
    with pytest.raises(ExportInvalid, match="x in .* is no regular file"):
        documents_of(tmp_path)


def test_a_file_that_is_too_long_is_named_and_not_read(tmp_path):
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ExportInvalid, match=f"document huge has {1 << 40} bytes"):
        documents_of(tmp_path)


def test_a_directory_that_was_never_written_is_told(tmp_path):
    with pytest.raises(ExportInvalid, match="there is no directory"):
        documents_of(tmp_path / "nothing")


def test_a_file_that_vanishes_is_told(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x")
    found = DirectorySource(tmp_path).documents()
    next(found)
    (tmp_path / "b").unlink()
    with pytest.raises(SourceChanged, match="vanished"):
        next(found)


def test_a_folder_that_vanishes_during_the_export_is_told(tmp_path):
    (tmp_path / "a.yml").write_bytes(b"")
    (tmp_path / "b").mkdir()
    documents = DirectorySource(tmp_path).documents()
    next(documents)
    (tmp_path / "b").rmdir()
    with pytest.raises(SourceChanged, match="b vanished"):
        next(documents)
