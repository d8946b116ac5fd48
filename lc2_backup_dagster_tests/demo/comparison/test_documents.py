from collections.abc import Iterator
from pathlib import Path

from lc2_backup_dagster.demo.compare import Differences, compare_documents
from lc2_backup_dagster.engines.exports.document import Document
from lc2_backup_dagster.engines.exports.ports import ExportFacts


class Source:
    """An application's configuration, out of a dictionary."""

    def __init__(self, **documents: bytes) -> None:
        self._documents = documents

    def documents(self) -> Iterator[Document]:
        for path, content in self._documents.items():
            yield Document(path, content)

    def facts(self) -> ExportFacts:
        return ExportFacts()


def compared(tmp_path: Path, source: Source, **restored: bytes) -> Differences:
    for path, content in restored.items():
        (tmp_path / path).write_bytes(content)
    return compare_documents(source, tmp_path, ignore=lambda path: path == "busy")


def test_equal_documents_are_equal(tmp_path: Path):
    found = compared(tmp_path, Source(a=b"1", b=b"2"), a=b"1", b=b"2")
    assert found.equal
    assert found.compared == {"documents": 2}


def test_every_way_to_differ_is_found(tmp_path: Path):
    found = compared(tmp_path, Source(a=b"1", b=b"2"), a=b"other", c=b"3")
    told = [str(each) for each in found.found]
    assert told == ["document a: contents differ", "document b: only on the left", "document c: only on the right"]


def test_what_is_changed_all_the_time_is_counted_and_not_compared(tmp_path: Path):
    found = compared(tmp_path, Source(a=b"1", busy=b"2"), a=b"1", busy=b"other")
    assert found.equal
    assert found.compared == {"documents": 1, "documents in use": 1}
