"""The exported archive: read within limits, believed only if it is whole."""

import io
import json
import struct
import tracemalloc
import zipfile

import pytest

from lc2_backup_dagster.applications.bloomreach.package import PackageLimits, is_whole, package_documents
from lc2_backup_dagster.model.errors import AnswerInvalid, ExportInvalid

ITEM = {"type": "document", "path": "/content/documents/a", "fields": [{"name": "price", "value": [12.50]}]}


def a_zip(members, compression=zipfile.ZIP_DEFLATED):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed


def of_lines(*lines):
    return a_zip({"export.ndjson": b"".join(json.dumps(line).encode() + b"\n" for line in lines)})


def documents_of(file, **options):
    return {each.path: each.content for each in package_documents(file, **options)}


def test_every_line_is_a_document_under_its_own_path():
    folder = {"type": "folder", "path": "/content/documents"}
    found = documents_of(of_lines(ITEM, folder), items=2)
    assert list(found) == ["content/documents/a.document.json", "content/documents.folder.json"]
    assert json.loads(found["content/documents/a.document.json"]) == ITEM


def test_numbers_keep_their_text():
    file = a_zip({"x.ndjson": b'{"type":"page","path":"/p","n":1.10,"big":12345678901234567890.123456789}'})
    assert b'"big": 12345678901234567890.123456789,\n  "n": 1.10,' in documents_of(file)["p.page.json"]


def test_the_version_history_is_a_document_for_each_version():
    history = [{"version": "1.1", "item": {"a": 1}}, {"createdAt": "x"}]
    found = documents_of(of_lines({**ITEM, "versionHistory": history}))
    assert list(found) == [
        "content/documents/a.document.json",
        "content/documents/a.document.history/1.1.json",
        "content/documents/a.document.history/2.json",
    ]
    assert "versionHistory" not in found["content/documents/a.document.json"].decode()


def test_several_files_empty_lines_and_a_missing_last_line_feed_are_fine():
    line = json.dumps(ITEM)
    other = json.dumps({**ITEM, "path": "/b"})
    file = a_zip({"1.ndjson": f"\n{line}\r\n\n", "report.json": "{}", "2.JSONL": other})
    assert len(documents_of(file, items=2)) == 2


def test_a_line_may_reach_over_many_chunks():
    long = {**ITEM, "text": "ü" * 700_000}
    assert len(documents_of(of_lines(long, {**ITEM, "path": "/b"}))) == 2


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_an_archive_that_was_cut_off_is_not_whole_and_refused(part):
    file = of_lines(*({**ITEM, "path": f"/{number}"} for number in range(500)))
    content = file.getvalue()
    assert is_whole(file)
    cut = io.BytesIO(content[: int(len(content) * part)])
    assert not is_whole(cut)
    with pytest.raises(AnswerInvalid, match="damaged or truncated"):
        documents_of(cut)


@pytest.mark.parametrize("place", [40, 200, 1000])
def test_an_archive_that_was_damaged_is_refused(place):
    content = bytearray(of_lines(*({**ITEM, "path": f"/{number}"} for number in range(500))).getvalue())
    content[place] ^= 0xFF
    with pytest.raises(AnswerInvalid):
        documents_of(io.BytesIO(bytes(content)))


@pytest.mark.parametrize("content", [b"", b"<html>please sign in</html>", b"PK\x05\x06", bytes(100)])
def test_what_is_no_archive_is_refused(content):
    assert not is_whole(io.BytesIO(content))
    with pytest.raises(AnswerInvalid, match="damaged or truncated"):
        documents_of(io.BytesIO(content))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"type":"page","path":"/a"', r"unreadable \(file 1, line 1\): not JSON"),
        (b'{}\n{"type":"page"}', r"without path or type \(file 1, line 1\)"),
        (b'{"type":"page","path":"/a"}\n{"path":"/b"}', r"without path or type \(file 1, line 2\)"),
        (b'{"type":"page","path":"/"}', "without path or type"),
        (b"[]", r"no item \(file 1, line 1\)"),
        (b'{"type":"page","path":"/a","versionHistory":7}', "version history of /a is no list"),
        (b'{"type":"page","path":"/a","path":"/b"}', "same name twice"),
    ],
)
def test_lines_that_make_no_sense_are_refused_with_their_place(content, reason):
    with pytest.raises(AnswerInvalid, match=reason):
        documents_of(a_zip({"x.ndjson": content}))


def test_a_refusal_does_not_repeat_the_content():
    with pytest.raises(AnswerInvalid) as caught:
        documents_of(a_zip({"x.ndjson": b'{"password": "hunter2", broken'}))
    assert "hunter2" not in str(caught.value)


def test_an_archive_without_lines_is_refused():
    with pytest.raises(AnswerInvalid, match="holds no lines of JSON"):
        documents_of(a_zip({"readme.txt": b"x"}))


def test_fewer_items_than_the_operation_told_are_refused():
    with pytest.raises(AnswerInvalid, match="holds 1 items, the operation told of 2"):
        documents_of(of_lines(ITEM), items=2)


def test_a_bomb_is_stopped_by_what_comes_out_of_it():
    file = a_zip({"x.ndjson": b"\n" * 50_000_000})
    assert len(file.getvalue()) < 100_000
    with pytest.raises(AnswerInvalid, match="unpacks to more than 1000000 bytes"):
        documents_of(file, limits=PackageLimits(unpacked_bytes=1_000_000))


def test_one_endless_line_is_stopped_before_it_fills_memory():
    file = a_zip({"x.ndjson": b"x" * 50_000_000})
    tracemalloc.start()
    with pytest.raises(ExportInvalid, match=r"more than 1000000 bytes \(file 1, line 1\)"):
        documents_of(file, limits=PackageLimits(line_bytes=1_000_000))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 6_000_000


def test_many_small_bombs_are_counted_together():
    file = a_zip({f"{number}.ndjson": b"\n" * 400_000 for number in range(10)})
    with pytest.raises(AnswerInvalid, match="unpacks to more than 1000000 bytes"):
        documents_of(file, limits=PackageLimits(unpacked_bytes=1_000_000))


def test_too_many_files_are_refused():
    with pytest.raises(AnswerInvalid, match="holds 20 files, more than 10"):
        documents_of(a_zip({str(number): b"" for number in range(20)}), limits=PackageLimits(members=10))


def test_a_huge_table_of_contents_is_refused_before_it_is_read():
    content = bytearray(of_lines(ITEM).getvalue())
    at = content.rfind(b"PK\x05\x06")
    struct.pack_into("<L", content, at + 12, 200_000_000)
    with pytest.raises(AnswerInvalid, match="table of contents of 200000000 bytes"):
        documents_of(io.BytesIO(bytes(content)))
    wide = b"PK\x06\x06" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, 1, 1, 900_000_000, 0)
    locator = b"PK\x06\x07" + bytes(16)
    struct.pack_into("<L", content, at + 12, 0xFFFFFFFF)
    with pytest.raises(AnswerInvalid, match="table of contents of 900000000 bytes"):
        documents_of(io.BytesIO(bytes(content[:at]) + wide + locator + bytes(content[at:])))


def test_an_archive_in_the_wide_form_is_read():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive, archive.open("x.ndjson", "w", force_zip64=True) as member:
        member.write(json.dumps(ITEM).encode())
    assert len(documents_of(packed)) == 1


def test_names_in_the_archive_never_become_paths():
    found = documents_of(a_zip({"../../etc/cron.d/x.ndjson": json.dumps(ITEM), "/abs.ndjson": ""}))
    assert list(found) == ["content/documents/a.document.json"]


def test_a_path_that_leads_out_is_escaped():
    found = documents_of(of_lines({**ITEM, "path": "/../../etc/passwd"}))
    assert list(found) == ["%2E./%2E./etc/passwd.document.json"]
