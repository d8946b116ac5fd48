"""Restore of an export into a directory: new or empty, whole or not at all, never outside of it."""

import errno
import os
import stat
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path

import pytest

from lc2_backup_dagster.engines.exports.document import Document
from lc2_backup_dagster.engines.exports.stored import StoredExport
from lc2_backup_dagster.engines.exports.unpack import check_target, unpack_export
from lc2_backup_dagster.model.errors import (
    AccessDenied,
    ConfigurationError,
    ExportCorrupt,
    ExportInvalid,
    PartCorrupt,
    RecoveryPointNotFound,
    StorageFull,
    TargetNotEmpty,
)
from lc2_backup_dagster_tests.privileges import visible_to_all, without_privileges

DOCUMENTS = {"a.json": b'{"a": 1}', "b/c/d.yml": b"a: b\n", "ü": b"\xff"}


def files_of(target):
    return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


def test_a_new_directory_holds_every_document(export, tmp_path):
    stored = export(DOCUMENTS)
    unpacked = unpack_export(stored.documents(), tmp_path / "new")
    assert files_of(tmp_path / "new") == {**DOCUMENTS, "a.json": b'{\n  "a": 1\n}\n'}
    assert (unpacked.documents, unpacked.size_bytes) == (3, 19)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_an_empty_directory_is_filled(export, tmp_path):
    (tmp_path / "new").mkdir()
    unpack_export(export(DOCUMENTS).documents(), tmp_path / "new")
    assert len(files_of(tmp_path / "new")) == 3


def test_chosen_documents_only(export, tmp_path):
    unpack_export(export(DOCUMENTS).documents(lambda path: path.startswith("b/")), tmp_path / "new")
    assert files_of(tmp_path / "new") == {"b/c/d.yml": b"a: b\n"}


@pytest.mark.parametrize("kind", ["full", "file", "link", "dangling", "mount", "orphan"])
def test_a_directory_that_is_not_new_is_refused_and_left_alone(kind, tmp_path):
    target, error = tmp_path / "t", TargetNotEmpty
    match kind:
        case "full":
            target.mkdir()
            (target / ".hidden").touch()
        case "file":
            target.write_bytes(b"x")
        case "link":
            (tmp_path / "real").mkdir()
            target.symlink_to(tmp_path / "real")
        case "dangling":
            target.symlink_to(tmp_path / "nowhere")
        case "mount":
            target = Path("/proc")
        case _:
            target, error = tmp_path / "no" / "parent", ConfigurationError
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error):
        unpack_export([Document("a", b"x")], target)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("path", ["../out", "/abs", "a/../../out", "a/./b", ""])
def test_nothing_is_written_outside(path, tmp_path):
    (tmp_path / "inner").mkdir()
    with pytest.raises(ExportInvalid):
        unpack_export([Document("ok", b"x"), Document(path, b"x")], tmp_path / "inner" / "new")
    assert not list((tmp_path / "inner").iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]


def test_a_failure_leaves_nothing(export, store, tmp_path):
    stored = export({f"{number}": os.urandom(40_000) for number in range(5)})
    key = max(key for key in store.objects if "/export.tar/" in key)
    body, info = store.objects[key]
    store.objects[key] = (body[:-1] + bytes([body[-1] ^ 1]), info)
    (tmp_path / "t").mkdir()
    with pytest.raises(PartCorrupt):
        unpack_export(stored.documents(), tmp_path / "t" / "new")
    assert not list((tmp_path / "t").iterdir())


def test_a_target_that_came_to_be_meanwhile_is_not_overwritten(tmp_path):
    def documents():
        yield Document("a", b"x")
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "theirs").touch()

    with pytest.raises(TargetNotEmpty):
        unpack_export(documents(), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert list(files_of(tmp_path / "new")) == ["theirs"]


@pytest.mark.parametrize(
    ("problem", "error"), [(errno.EACCES, AccessDenied), (errno.ENOSPC, StorageFull), (errno.EIO, OSError)]
)
def test_what_the_disk_says_is_translated_and_leaves_nothing(problem, error, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(problem, "no")

    monkeypatch.setattr(os, "fdopen", fail)
    with pytest.raises(error):
        unpack_export([Document("a", b"x")], tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_a_place_where_nothing_may_be_made_is_refused_by_the_plan_already(tmp_path):
    place = visible_to_all(tmp_path)
    if os.geteuid() != 0:
        place.chmod(0o555)
    with without_privileges(), pytest.raises(AccessDenied, match="may not be written"):
        check_target(place / "new")
    place.chmod(0o755)


def test_a_document_that_is_not_there_is_told(export):
    with pytest.raises(RecoveryPointNotFound, match="has no document nothing.json"):
        export(DOCUMENTS).find("nothing.json")


def test_a_tar_that_ends_early_is_refused(export):
    stored = export({"a": b"x" * 3000, "b": b"y" * 3000})

    class Short:
        def open_stream(self, manifest, name):
            if name == "export.tar":
                return nullcontext(BytesIO(b"z" * 2000))
            return stored.repository.open_stream(manifest, name)

    with pytest.raises(ExportCorrupt, match="ends at byte 2000"):
        list(StoredExport(Short(), stored.manifest).documents())
