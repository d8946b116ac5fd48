"""Capture of exports: sorted, deterministic, refused where a document cannot be kept."""

import errno
import io
import json
import subprocess
import tarfile
import tracemalloc
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lc2_backup_dagster.engines.exports.canonical_json import canonical_json
from lc2_backup_dagster.engines.exports.document import Document
from lc2_backup_dagster.engines.exports.index import IndexEntry, read_index
from lc2_backup_dagster.engines.exports.ports import ExportFacts
from lc2_backup_dagster.engines.exports.sorting import DocumentSorter
from lc2_backup_dagster.engines.exports.stored import StoredExport
from lc2_backup_dagster.model.errors import ExportCorrupt, ExportInvalid, ServiceUnavailable, StorageFull
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster_tests.engines.exports.exporting import DocumentsOf, keep_source

DOCUMENTS = {
    "b/second.yml": b"langcode: en\nstatus: true\n",
    "a.json": b'{"b": 1, "a": 2}',
    "b/first.txt": b"plain \xff bytes",
    "ü/" + "long" * 40 + ".json": b"[]",
    "empty": b"",
}


def tar_of(stored) -> bytes:
    with stored.repository.open_stream(stored.manifest, "export.tar") as reader:
        return reader.read()


def index_of(stored) -> bytes:
    with stored.repository.open_stream(stored.manifest, "export.index") as reader:
        return reader.read()


def test_documents_come_back_sorted_and_proven(export):
    stored = export(DOCUMENTS)
    found = {document.path: document.content for document in stored.documents()}
    assert list(found) == sorted(DOCUMENTS, key=str.encode)
    assert found == {**DOCUMENTS, "a.json": b'{\n  "a": 2,\n  "b": 1\n}\n', "ü/" + "long" * 40 + ".json": b"[]\n"}


def test_one_document_is_read_without_the_rest(export, store):
    filler = {f"filler/{number:03}": bytes([number]) * 20_000 for number in range(40)}
    stored = export({**filler, "filler/020x": b"wanted"})
    fetched: list[str] = []
    get = store.get
    store.get = lambda key, **options: fetched.append(key) or get(key, **options)
    assert stored.read(stored.find("filler/020x")) == b"wanted"
    assert len([key for key in fetched if "/export.tar/" in key]) == 1


def test_the_same_documents_make_the_same_bytes_on_another_day_in_another_order(export, clock):
    first = export(DOCUMENTS)
    clock.move(days=1)
    second = export(dict(reversed(DOCUMENTS.items())))
    assert tar_of(first) == tar_of(second)
    assert index_of(first) == index_of(second)


def test_any_tar_reads_it(export, tmp_path):
    stored = export(DOCUMENTS)
    archive = tmp_path / "export.tar"
    archive.write_bytes(tar_of(stored))
    with tarfile.open(archive) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar if tar.extractfile(member)}
        assert {(member.mtime, member.uid, member.uname, member.mode) for member in tar.getmembers()} == {
            (0, 0, "", 0o644)
        }
    assert members == {document.path: document.content for document in stored.documents()}
    target = tmp_path / "by-tar"
    target.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", target], check=True, timeout=30, env={"LC_ALL": "C.UTF-8"})
    assert (target / "b/first.txt").read_bytes() == b"plain \xff bytes"
    assert len([path for path in target.rglob("*") if path.is_file()]) == len(DOCUMENTS)


def test_the_index_tells_where_each_document_lies(export):
    stored = export(DOCUMENTS)
    tar = tar_of(stored)
    lines = [json.loads(line) for line in index_of(stored).splitlines()]
    assert [line["path"] for line in lines] == sorted(DOCUMENTS, key=str.encode)
    for line, document in zip(lines, stored.documents(), strict=True):
        assert tar[line["offset"] : line["offset"] + line["size"]] == document.content


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.text("ab/-.é0", min_size=1, max_size=8), st.binary(max_size=40), max_size=12))
def test_any_order_is_sorted_by_bytes(documents):
    with DocumentSorter(None) as sorter:
        for path, content in documents.items():
            sorter.add(Document(path, content))
        try:
            found = list(sorter.sorted())
        except ExportInvalid:
            assert any(one.startswith(f"{other}/") for one in documents for other in documents)
            return
    assert [each.path for each in found] == sorted(documents, key=str.encode)
    assert {each.path: each.content for each in found} == documents
    assert not any(one.startswith(f"{other}/") for one in documents for other in documents)


def test_memory_does_not_grow_with_the_documents(tmp_path):
    class Many:
        def documents(self):
            for number in range(300):
                yield Document(f"{number % 7}/{number}", number.to_bytes(2) * 100_000)

    def peak(count: int) -> int:
        with DocumentSorter(tmp_path) as sorter:
            tracemalloc.start()
            for number, document in enumerate(Many().documents()):
                if number < count:
                    sorter.add(document)
            for _ in sorter.sorted():
                pass
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return most

    assert peak(300) < 1.5 * peak(30) + 200_000


def test_the_moment_is_the_time_it_took_and_facts_are_kept(repository, clock):
    began = clock.now()

    class Slow(DocumentsOf):
        def documents(self):
            clock.move(minutes=3)
            yield from super().documents()

    facts = ExportFacts({"project": "core"}, (("news/a", "locked"),))
    stored, captured = keep_source(repository, Slow({"a": b"x"}, facts), clock=clock)
    assert (captured.moment.restorable_from, captured.moment.restorable_until) == (began, began + timedelta(minutes=3))
    assert captured.partial
    assert captured.unexported == (("news/a", "locked"),)
    assert stored.manifest.details == {"project": "core"}


def test_equal_exports_have_an_equal_digest_and_others_not(repository):
    def digest(documents):
        return keep_source(repository, DocumentsOf(documents))[1].sha256

    assert digest({"a": b"1", "b": b"2"}) == digest({"b": b"2", "a": b"1"})
    assert len({digest({"a": b"1", "b": b"2"}), digest({"a": b"1", "b": b"3"}), digest({"a": b"1", "c": b"2"})}) == 3


@pytest.mark.parametrize(
    ("documents", "reason"),
    [
        ({}, "the export is empty"),
        ({"a.json": b"{"}, "document a.json is unreadable: not JSON"),
        ({"x/b.yml": b"a: [1\n"}, r"document x/b.yml is unreadable: not YAML: .* line 2"),
        ({"a": b"", "a/b": b""}, "holds a as a document and as the folder of a/b"),
        ({"a": b"", "a-b": b"", "a/b": b""}, "holds a as a document and as the folder of a/b"),
        ({"../x": b""}, "'../x'"),
        ({"/etc/passwd": b""}, "'/etc/passwd'"),
        ({"a//b": b""}, "'a//b'"),
        ({"a/./b": b""}, "'a/./b'"),
        ({"": b""}, "the path ''"),
        ({"a\nb": b""}, "control characters"),
        ({"a\ud800": b""}, "not Unicode text"),
        ({"a" * 256: b""}, "segment of more than 255 bytes"),
        ({"a/" * 1100 + "b": b""}, "allowed are 1 to 2048"),
        ({"big.txt": b"x" * 1001}, "document big.txt has 1001 bytes, more than 1000"),
    ],
)
def test_an_export_that_cannot_be_kept_is_refused_before_anything_is_written(repository, store, documents, reason):
    with pytest.raises(ExportInvalid, match=reason):
        keep_source(repository, DocumentsOf(documents), document_limit_bytes=1000)
    assert not [key for key in store.objects if "export." in key]
    assert not repository.backups(Component.CONFIGURATION)


def test_a_document_that_comes_twice_is_refused(repository):
    class Twice(DocumentsOf):
        def documents(self):
            yield Document("a", b"1")
            yield Document("a", b"1")

    with pytest.raises(ExportInvalid, match="holds a twice"):
        keep_source(repository, Twice({}))


def test_an_export_that_lacks_what_it_must_have_is_refused(repository):
    documents = DocumentsOf({"system.site.yml": b"name: x\n"})
    with pytest.raises(ExportInvalid, match="must have are missing: core.extension.yml"):
        keep_source(repository, documents, required=["core.extension.yml", "system.site.yml"])


def test_a_source_that_breaks_off_leaves_no_backup(repository, store, tmp_path):
    class Broken(DocumentsOf):
        def documents(self):
            yield Document("a", b"1")
            raise ServiceUnavailable("the API is away")

    with pytest.raises(ServiceUnavailable):
        keep_source(repository, Broken({}), scratch=tmp_path)
    assert not repository.backups(Component.CONFIGURATION)
    assert not list(tmp_path.glob("lc2-export-*"))


def test_canonical_documents_are_not_parsed_again(repository):
    class Canonical(DocumentsOf):
        def documents(self):
            yield Document.of_json("a.json", {"b": 1.5, "a": [True]})

    stored, _ = keep_source(repository, Canonical({}))
    assert stored.read(stored.find("a.json")) == canonical_json({"a": [True], "b": 1.5})


def test_progress_is_told(repository):
    told: list[tuple[int, int]] = []
    keep_source(repository, DocumentsOf({"a": b"12", "b": b"3"}), progress=lambda *done: told.append(done))
    assert told == [(1, 2), (2, 3)]


def test_a_full_scratch_disk_is_named(tmp_path):
    with DocumentSorter(tmp_path) as sorter:
        contents = sorter._contents

        class Full:
            def write(self, data):
                raise OSError(errno.ENOSPC, "full")

            def __getattr__(self, name):
                return getattr(contents, name)

        sorter._contents = Full()
        with pytest.raises(StorageFull, match=str(tmp_path)):
            sorter.add(Document("a", b"x"))


def test_a_full_disk_under_the_table_is_named(tmp_path):
    with DocumentSorter(tmp_path) as sorter:
        sorter._table.execute("PRAGMA max_page_count = 4")
        with pytest.raises(StorageFull, match=str(tmp_path)):
            for number in range(10_000):
                sorter.add(Document(f"{number}/{'x' * 200}", b"x"))


ENTRY = IndexEntry("a", 3, "0" * 64, 512)


def test_an_index_line_is_read_as_it_was_written():
    entries = [ENTRY, IndexEntry("ü/b", 0, "f" * 64, 1024)]
    assert list(read_index(io.BytesIO(b"".join(each.to_line() for each in entries)), name="x")) == entries


@pytest.mark.parametrize(
    "index",
    [
        ENTRY.to_line() + ENTRY.to_line(),
        ENTRY.to_line()[:-1],
        b"{}\n",
        b"[]\n",
        b"no json\n",
        b'{"path":"../x","size":1,"sha256":"' + b"0" * 64 + b'","offset":512}\n',
        b'{"path":"x","size":-1,"sha256":"' + b"0" * 64 + b'","offset":512}\n',
        b'{"path":"x","size":true,"sha256":"' + b"0" * 64 + b'","offset":512}\n',
        b'{"path":"x","size":1,"sha256":"0","offset":512}\n',
        IndexEntry("b", 3, "0" * 64, 512).to_line() + IndexEntry("a", 3, "0" * 64, 1024).to_line(),
        IndexEntry("a", 600, "0" * 64, 512).to_line() + IndexEntry("b", 3, "0" * 64, 1024).to_line(),
        b"x" * 100_000,
    ],
)
def test_a_damaged_index_is_refused(index):
    with pytest.raises(ExportCorrupt):
        list(read_index(io.BytesIO(index), name="x"))


def test_an_index_of_another_export_does_not_pass(export):
    one, other = export({"a": b"1234"}), export({"a": b"5678"})
    streams = {**one.manifest.streams, "export.index": other.manifest.streams["export.index"]}
    mixed = StoredExport(one.repository, one.manifest.model_copy(update={"streams": streams}))
    entry = other.find("a")
    with pytest.raises(ExportCorrupt, match="a of export .* is not what its index promises"):
        mixed.read(entry)
    with pytest.raises(ExportCorrupt, match="lies outside of its tar"):
        mixed.read(IndexEntry("a", 4, entry.sha256, 1 << 30))
