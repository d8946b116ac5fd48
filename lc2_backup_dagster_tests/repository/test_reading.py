"""Ranges of streams, and what is proven of a part when the caller proves the content itself."""

import os
from dataclasses import replace
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lc2_backup_dagster.model.errors import IntegrityError, PartCorrupt
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository.canonical import sha256
from lc2_backup_dagster.repository.layout import part_key
from lc2_backup_dagster.repository.parts import Part, Stream, StreamWriter, WriteOptions
from lc2_backup_dagster.repository.reading import StoredStream, read_sealed
from lc2_backup_dagster.repository.sealing import ZstdSealer
from lc2_backup_dagster_tests.builders import a_backup, a_repository
from lc2_backup_dagster_tests.fakes import DyingStore, SetClock

PREFIX = "backups/retail/liferay/database/one/"


def a_stored_stream(content: bytes, *, part_bytes: int) -> tuple[DyingStore, StoredStream]:
    store = DyingStore(SetClock())
    options = WriteOptions(part_bytes=part_bytes)
    with StreamWriter(store, ZstdSealer(), prefix=PREFIX, name="base.tar", options=options) as writer:
        writer.write(content)
    return store, StoredStream(store, ZstdSealer(), prefix=PREFIX, stream=writer.stream, key_id=None)


@settings(deadline=None, max_examples=60)
@given(size=st.integers(0, 50), part_bytes=st.integers(1, 20), data=st.data())
def test_a_range_is_a_slice_and_fetches_only_its_parts(size, part_bytes, data):
    content = os.urandom(size)
    store, stream = a_stored_stream(content, part_bytes=part_bytes)
    start = data.draw(st.integers(0, size))
    end = data.draw(st.integers(start, size))
    step = data.draw(st.integers(1, 60))
    wanted = (
        {number for number in range(len(stream.stream.parts)) if number * part_bytes < end} if start < end else set()
    )
    for number in range(len(stream.stream.parts)):
        if number not in wanted or (number + 1) * part_bytes <= start:
            del store.objects[part_key(PREFIX, "base.tar", number)]
    with stream.open(start=start, end=end) as source:
        assert b"".join(iter(lambda: source.read(step), b"")) == content[start:end]


def test_an_open_end_is_the_streams_end_and_a_range_beyond_it_is_refused():
    _, stream = a_stored_stream(b"0123456789", part_bytes=4)
    with stream.open(start=3) as source:
        assert source.read() == b"3456789"
    for start, end in ((0, 11), (11, None), (5, 4), (-1, 3)):
        with pytest.raises(ValueError, match="has 10 bytes"):
            stream.open(start=start, end=end)


def test_a_part_asked_for_as_a_whole_is_handed_out_as_it_is():
    _, stream = a_stored_stream(b"0123456789", part_bytes=4)
    with stream.open() as source:
        assert [source.read(100), source.read(100), source.read(1), source.read(100), source.read(100)] == [
            b"0123", b"4567", b"8", b"9", b"",
        ]  # fmt: skip


@pytest.mark.parametrize("damage", ["flip", "cut", "swap", "gone"])
def test_damage_of_a_stored_part_is_noticed_by_a_caller_who_proves_the_plain_bytes_himself(damage, store, site, key):
    repository = a_repository(store, site, wrapper=key, clock=SetClock())
    content = os.urandom(9_000_000)
    manifest = repository.manifest(a_backup(repository, content).backup_id)
    prefix = f"backups/{site}/database/{manifest.backup_id}/"
    first, second = (part_key(prefix, "base.tar", number) for number in (0, 1))
    stream = repository.stored_stream(manifest, "base.tar")
    with stream.open(prove_plain=False) as source:
        assert source.read() == content
    body, info = store.objects[second]
    changed = {"flip": body[:-1] + bytes([body[-1] ^ 1]), "cut": body[:-1], "swap": store.objects[first][0]}
    if damage == "gone":
        del store.objects[second]
    else:
        store.objects[second] = (changed[damage], info)
    with pytest.raises(IntegrityError, match="base.tar/000001"), stream.open(prove_plain=False) as source:
        source.read()


def forged(site: SiteId, part: Part, plain: bytes, stored: bytes) -> tuple[DyingStore, Part]:
    """Return a store and a part whose stored bytes fit the promise, while the plain ones are others."""
    store = DyingStore(SetClock())
    store.put("key", stored)
    return store, replace(part, stored_bytes=len(stored), stored_sha256=sha256(stored), plain_bytes=len(plain))


def test_what_only_a_forged_manifest_can_hide_is_left_to_the_caller(site):
    promised = b"what was backed up"
    part = Part(len(promised), 0, sha256(promised), "")
    other = b"what somebody else "[: len(promised)]
    store, part = forged(site, part, other, ZstdSealer().seal(other, key="key"))
    assert read_sealed(store, ZstdSealer(), "key", part, key_id=None, prove_plain=False) == other
    with pytest.raises(PartCorrupt, match="decodes to other bytes"):
        read_sealed(store, ZstdSealer(), "key", part, key_id=None)
    with pytest.raises(PartCorrupt, match="decodes to other bytes"):
        read_sealed(store, ZstdSealer(), "key", replace(part, plain_bytes=3), key_id=None, prove_plain=False)


def test_a_frame_whose_content_has_changed_does_not_decode(site):
    """The frame's own checksum is what proves the decoding."""
    frame = bytearray(ZstdSealer().seal(bytes(range(256)) * 100, key="key"))
    frame[-1] ^= 1
    store, part = forged(site, Part(25600, 0, "", ""), bytes(25600), bytes(frame))
    with pytest.raises(PartCorrupt, match="does not decompress"):
        read_sealed(store, ZstdSealer(), "key", part, key_id=None, prove_plain=False)


def test_a_stream_of_no_parts_is_empty():
    stream = StoredStream(DyingStore(SetClock()), ZstdSealer(), prefix=PREFIX, stream=Stream("x", ()), key_id=None)
    with stream.open() as source:
        assert BytesIO(source.read()).getvalue() == b""
