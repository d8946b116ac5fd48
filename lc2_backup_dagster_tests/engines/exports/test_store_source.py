"""Documents come out of a folder of an object store: whole, or the export fails."""

from dataclasses import replace
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.engines.exports.capture import capture_export
from lc2_backup_dagster.engines.exports.store_source import StoreSource
from lc2_backup_dagster.model.errors import ExportInvalid


class FlatStore(DirectoryStore):
    """Lists and reads one object of any name, as object stores have them."""

    def __init__(self, root: Path, key: str, content: bytes) -> None:
        super().__init__(root, create=True)
        self.put("body", content)
        self._key = key

    def list(self, prefix: str = "", **asked):
        for found in super().list(prefix, **asked):
            yield replace(found, key=self._key)

    def open(self, key: str, **asked):
        assert key == self._key
        return super().open("body", **asked)


def refuse_to_write(name: str):
    raise AssertionError(f"{name} is written")


def test_an_empty_object_that_stands_for_a_folder_is_no_document(tmp_path: Path):
    assert list(StoreSource(FlatStore(tmp_path, "folder/", b"")).documents()) == []


def test_an_object_with_content_is_not_dropped_because_it_is_named_like_a_folder(tmp_path: Path):
    with pytest.raises(ExportInvalid, match="folder/"):
        capture_export(StoreSource(FlatStore(tmp_path, "folder/", b"content")), write=refuse_to_write)


def test_objects_are_documents_with_their_bytes(tmp_path: Path):
    [document] = StoreSource(FlatStore(tmp_path, "a/b.yml", b"a: 1\n")).documents()
    assert (document.path, document.content) == ("a/b.yml", b"a: 1\n")
