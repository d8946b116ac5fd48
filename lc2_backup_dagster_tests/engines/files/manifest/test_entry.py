from dataclasses import replace
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.clouds.store import PosixFacts, PosixKind
from lc2_backup_dagster.engines.files.manifest.entry import (
    Bundled,
    Copied,
    FileEntry,
    Parts,
    Protection,
    decode_entries,
    decode_entry,
    encode_entries,
    encode_entry,
)
from lc2_backup_dagster.model.errors import FormatNotSupported, ManifestCorrupt
from lc2_backup_dagster.repository.parts import Part
from lc2_backup_dagster_tests.engines.files.library import HASH, SITE, a_part, an_entry, an_info

texts = st.text(st.characters(), max_size=20)
keys = st.text(st.characters(), min_size=1, max_size=30)
hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
parts = st.builds(Part, st.integers(0, 2**50), st.integers(0, 2**50), hashes, hashes)
optional = st.none() | texts


@st.composite
def facts(draw: st.DrawFn, kind: PosixKind) -> PosixFacts:
    target = draw(st.text(st.characters(exclude_characters="\0"), min_size=1)) if kind is PosixKind.SYMLINK else None
    numbers = st.integers(0, 2**32 - 2)
    return PosixFacts(
        kind, draw(st.integers(0, 0o7777)), draw(numbers), draw(numbers), draw(optional), draw(optional), target,
        nanoseconds=draw(st.integers(0, 999)),
    )  # fmt: skip


@st.composite
def entries(draw: st.DrawFn) -> FileEntry:
    kind = draw(st.sampled_from(["object", *PosixKind]).filter(lambda kind: kind is not PosixKind.SPECIAL))
    if kind in (PosixKind.SYMLINK, PosixKind.DIRECTORY):
        end = "/" if kind is PosixKind.DIRECTORY else "x"
        info = an_info(draw(keys) + end, size_bytes=0, etag=None, posix=draw(facts(PosixKind(kind))))
        return FileEntry.without_content(info)
    several = draw(st.lists(parts, min_size=1, max_size=3))
    size_bytes = sum(part.plain_bytes for part in several)
    location = draw(
        st.one_of(
            st.builds(Copied, hashes, optional, optional, optional, optional),
            st.just(Parts(draw(hashes), draw(optional), tuple(several))),
            st.just(Bundled(draw(hashes), draw(optional), 7, size_bytes, Part(size_bytes + 7, 1, draw(hashes), HASH))),
        )
    )
    return FileEntry(
        key=draw(keys) + ("" if kind == "object" else "x"),
        size_bytes=size_bytes,
        modified=draw(st.datetimes(timezones=st.just(an_entry("x").modified.tzinfo))),
        location=location,
        etag=draw(optional),
        version=draw(optional),
        content_type=draw(optional),
        metadata=draw(st.dictionaries(texts, texts, max_size=3)),
        sha256=draw(st.none() | hashes),
        posix=None if kind == "object" else draw(facts(PosixKind.FILE)),
    )


@given(st.lists(entries(), max_size=4, unique_by=lambda entry: entry.key), st.integers(1, 400))
def test_entries_are_read_back_as_they_were_written_however_the_stream_is_cut(
    wanted: list[FileEntry], piece: int
) -> None:
    wanted = sorted(wanted, key=lambda entry: entry.key)
    stream = BytesIO(encode_entries(wanted))
    stream.read = lambda size, read=stream.read: read(min(size, piece))  # type: ignore[method-assign]

    assert list(decode_entries(stream, name="files")) == wanted


def test_a_name_that_is_not_utf8_survives() -> None:
    entry = an_entry("odd/" + b"\xff\xfe".decode("utf-8", "surrogateescape"))

    assert decode_entry(encode_entry(entry), where="files line 1") == entry


def test_an_entry_without_facts_is_written_as_it_always_was() -> None:
    part = f'3,23,"{HASH}","{"cd" * 32}"'
    line = f'{{"k":"a","s":3,"t":1795395723456789,"e":"etag of a","h":"{HASH}","l":["b","{HASH}","data-1",0,{part}]}}\n'

    assert encode_entry(an_entry("a")) == line.encode()


def test_facts_links_and_folders_are_written_as_the_format_says() -> None:
    owner = PosixFacts(PosixKind.FILE, 0o4755, 33, 1000, "www-data", None, nanoseconds=789)
    link = replace(owner, kind=PosixKind.SYMLINK, target="../b\udcff")
    file = encode_entry(an_entry("a", posix=owner))
    way = encode_entry(FileEntry.without_content(an_info("w", size_bytes=0, etag=None, posix=link)))
    folder = an_info("d/", size_bytes=0, etag=None, posix=replace(owner, kind=PosixKind.DIRECTORY))

    assert b',"p":["f",2541,33,1000,"www-data",null,789],"l":["b"' in file
    assert way.endswith(b',"p":["l",2541,33,1000,"www-data",null,789,"../b\\udcff"],"l":["n"]}\n')
    assert encode_entry(FileEntry.without_content(folder)).startswith(b'{"k":"d/","s":0,"t":1795395723456789,"p":["d"')
    assert decode_entry(way, where="line").posix == link


def _line(key: str = "a", *, facts: str, location: str = '["n"]', rest: str = "", size: int = 0) -> bytes:
    return f'{{"k":"{key}","s":{size},"t":0,{rest}"p":{facts},"l":{location}}}'.encode()


@pytest.mark.parametrize(
    "line",
    [
        _line(facts='["f",420,0,0,null,null,0]'),
        _line(facts='["l",420,0,0,null,null,0]'),
        _line(facts='["l",420,0,0,null,null,0,""]'),
        _line(facts='["l",420,0,0,null,null,0,"a\\u0000b"]'),
        _line(facts='["l",420,0,0,null,null,0,7]'),
        _line(facts='["l",420,0,0,null,null,0,"b","c"]'),
        _line(facts='["d",420,0,0,null,null,0]'),
        _line("a/", facts='["d",420,0,0,null,null,0,"target"]'),
        _line("a/", facts='["l",420,0,0,null,null,0,"b"]'),
        _line("a/", facts='["s",420,0,0,null,null,0]'),
        _line("a/", facts='["x",420,0,0,null,null,0]'),
        _line("a/", facts='["d",4096,0,0,null,null,0]'),
        _line("a/", facts='["d",-1,0,0,null,null,0]'),
        _line("a/", facts='["d",true,0,0,null,null,0]'),
        _line("a/", facts='["d",420,4294967295,0,null,null,0]'),
        _line("a/", facts='["d",420,0,-1,null,null,0]'),
        _line("a/", facts='["d",420,0,0,7,null,0]'),
        _line("a/", facts='["d",420,0,0,null,[],0]'),
        _line("a/", facts='["d",420,0,0,null,null,1000]'),
        _line("a/", facts='["d",420,0,0,null,null]'),
        _line("a/", facts="null"),
        _line("a/", facts='["d",420,0,0,null,null,0]', size=1),
        _line("a/", facts='["d",420,0,0,null,null,0]', rest=f'"h":"{HASH}",'),
        _line("a/", facts='["d",420,0,0,null,null,0]', location=f'["o","{HASH}",null,null,null,null]'),
        _line("a/", facts='["f",420,0,0,null,null,0]', location=f'["o","{HASH}",null,null,null,null]'),
        b'{"k":"a","s":0,"t":0,"l":["n"]}',
    ],
)
def test_facts_that_no_file_system_gives_are_refused(line: bytes) -> None:
    with pytest.raises(ManifestCorrupt, match="files line 7"):
        decode_entry(line, where="files line 7")


def test_text_order_of_keys_is_the_byte_order_of_utf8() -> None:
    keys = ["a", "a/b", "a-b", "é", "日", "😀", "z", "\uffff"]

    assert sorted(keys) == sorted(keys, key=str.encode)


def test_a_location_of_a_newer_format_is_refused_by_name() -> None:
    line = encode_entry(an_entry("k", Copied(HASH))).replace(b'["o"', b'["q"')

    with pytest.raises(FormatNotSupported, match="files line 3 has a location of unknown kind 'q'"):
        decode_entry(line, where="files line 3")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b'{"k":"a"}',
        b'{"k":1,"s":1,"t":0,"l":["o","' + HASH.encode() + b'",null,null,null,null]}',
        b'{"k":"a","s":-1,"t":0,"l":["o","' + HASH.encode() + b'",null,null,null,null]}',
        b'{"k":"a","s":true,"t":0,"l":["o","' + HASH.encode() + b'",null,null,null,null]}',
        b'{"k":"a","s":1,"t":0,"z":1,"l":["o","' + HASH.encode() + b'",null,null,null,null]}',
        b'{"k":"a","s":1,"t":0,"l":["o","short",null,null,null,null]}',
        b'{"k":"a","s":1,"t":0,"l":["o","' + HASH.encode() + b'"]}',
        b'{"k":"a","s":1,"t":0,"h":"no hash","l":["o","' + HASH.encode() + b'",null,null,null,null]}',
        encode_entry(an_entry("a", Parts(HASH, None, (a_part(3),)), size_bytes=4)),
        encode_entry(an_entry("a", Bundled(HASH, None, 2, 3, a_part(4)))),
        b"\xff\xfe",
    ],
)
def test_a_bad_line_is_refused_with_its_place(line: bytes) -> None:
    with pytest.raises(ManifestCorrupt, match="files line 7"):
        decode_entry(line, where="files line 7")


@pytest.mark.parametrize("second", ["a", "b"])
def test_keys_that_are_repeated_or_out_of_order_are_refused(second: str) -> None:
    stream = BytesIO(encode_entries([an_entry("b"), an_entry(second)]))

    with pytest.raises(ManifestCorrupt, match="files line 2 is out of order"):
        list(decode_entries(stream, name="files"))


def test_a_stream_that_ends_in_a_line_is_refused() -> None:
    with pytest.raises(ManifestCorrupt, match="ends in the middle of a line"):
        list(decode_entries(BytesIO(encode_entry(an_entry("a"))[:-1]), name="files"))


def test_an_entry_names_the_objects_that_hold_it() -> None:
    one, two = a_part(1), a_part(2)
    folder = f"files/retail/liferay/{HASH[:2]}/{HASH}"

    assert an_entry("k", Copied(HASH)).stored_objects(SITE) == [(folder, None)]
    assert an_entry("k", Bundled(HASH, None, 0, 1, one)).stored_objects(SITE) == [(folder, one)]
    assert an_entry("k", Parts(HASH, None, (one,))).stored_objects(SITE) == [(folder, one)]
    assert an_entry("k", Parts(HASH, None, (one, two))).stored_objects(SITE) == [
        (f"{folder}/000000", one),
        (f"{folder}/000001", two),
    ]


def test_protection_follows_from_the_location() -> None:
    assert an_entry("k", Copied(HASH)).protection is Protection.STORE
    assert an_entry("k").protection is Protection.CLIENT


def test_an_unchanged_entry_keeps_its_line_and_a_changed_one_gets_another() -> None:
    line = encode_entry(an_entry("a", sha256=None))
    entry = decode_entry(line, where="here")
    assert encode_entry(entry) is entry.line == line
    assert decode_entry(encode_entry(replace(entry, sha256=HASH)), where="here").sha256 == HASH
