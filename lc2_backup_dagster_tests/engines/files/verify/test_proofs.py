"""Lines of proofs, and streams of them merged."""

import hashlib
import json
from types import SimpleNamespace
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.files.manifest.entry import Copied
from lc2_backup_dagster.engines.files.manifest.sharing import lines_not_in
from lc2_backup_dagster.engines.files.verify.proof_sets import open_proofs
from lc2_backup_dagster.engines.files.verify.proofs import (
    KnownHash,
    Proof,
    combined,
    decode_hash,
    decode_proof,
    encode_hash,
    encode_proof,
    merged_hashes,
    merged_proofs,
    updated_proofs,
    with_known_hashes,
)
from lc2_backup_dagster.model.errors import ManifestCorrupt
from lc2_backup_dagster.repository.sealing import ZstdSealer
from lc2_backup_dagster_tests.engines.files.library import HASH, SITE, an_entry
from lc2_backup_dagster_tests.fakes import MemoryStore

OTHER = "cd" * 32
times = st.none() | st.integers(0, 5)
hashes = st.sampled_from([None, HASH, OTHER])
proofs = st.builds(Proof, st.sampled_from("abcdef"), times, hashes, st.sampled_from([None, "etag-1", "ümlaut"]), times)


def by_name(found: list[Proof]) -> list[Proof]:
    return list({each.name: each for each in sorted(found, key=lambda each: each.name)}.values())


@given(proofs)
def test_a_proof_is_read_as_it_was_written(proof: Proof) -> None:
    line = encode_proof(proof)
    assert decode_proof(line, where="here") == proof
    assert line.isascii() and line.endswith(b"}\n")


@given(st.text(st.characters(codec="utf-8")), st.sampled_from([HASH, OTHER]))
def test_a_known_hash_is_read_as_it_was_written(file: str, sha256: str) -> None:
    for name in (file, file + "\udcff"):
        known = KnownHash(name, "object", sha256)
        assert decode_hash(encode_hash(known), where="here") == known


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b"{}", b'{"o":1}', b'{"o":"a","t":"1"}', b'{"o":"a","t":true}', b'{"o":"a","h":"xy"}'],
)
def test_what_is_no_proof_is_refused_and_named(line: bytes) -> None:
    with pytest.raises(ManifestCorrupt, match="here"):
        decode_proof(line, where="here")
    with pytest.raises(ManifestCorrupt, match="here"):
        decode_hash(line, where="here")


def test_names_of_a_later_version_are_ignored() -> None:
    assert decode_proof(b'{"o":"a","t":1,"z":[1]}', where="here") == Proof("a", 1)


def test_the_latest_look_counts_and_the_first_hash_stays() -> None:
    assert combined([Proof("a", 5, OTHER), Proof("a", 3, HASH)]) == Proof("a", 5, HASH)
    assert combined([Proof("a", 3), Proof("a", 5, HASH, "etag")]) == Proof("a", 5, HASH, "etag")
    assert combined([Proof("a", 3, HASH), Proof("a", 3, damaged_at=5)]) == Proof("a", 3, HASH, damaged_at=5)
    assert combined([Proof("a", 3, damaged_at=5), Proof("a", 6)]) == Proof("a", 6)
    assert combined([Proof("a", 5), Proof("a", None, damaged_at=5)]).damaged_at == 5


@given(st.lists(proofs).map(by_name), st.lists(proofs).map(by_name), st.lists(proofs).map(by_name))
def test_merging_keeps_every_name_once_in_order(one: list[Proof], two: list[Proof], three: list[Proof]) -> None:
    merged = list(merged_proofs(one, two, three))
    assert [each.name for each in merged] == sorted({each.name for each in (*one, *two, *three)})
    for each in merged:
        of_name = [proof for proof in (*one, *two, *three) if proof.name == each.name]
        assert each.read_at == max((proof.read_at for proof in of_name if proof.read_at is not None), default=None)
        assert (each.sha256 is None) == all(proof.sha256 is None for proof in of_name)


def test_what_was_found_out_last_counts_whatever_times_say() -> None:
    known = [Proof("a", 9, HASH), Proof("b", 9, damaged_at=9), Proof("c", 3, HASH, "etag")]
    fresh = [Proof("b", 5), Proof("c", 3, OTHER, damaged_at=5), Proof("d", 5, OTHER)]
    assert list(updated_proofs(known, fresh)) == [
        Proof("a", 9, HASH),
        Proof("b", 5),
        Proof("c", 3, HASH, damaged_at=5),
        Proof("d", 5, OTHER),
    ]


def test_of_a_file_the_hash_of_every_version_is_kept_once() -> None:
    one = [KnownHash("a", "old", HASH), KnownHash("b", "x", HASH)]
    two = [KnownHash("a", "new", OTHER), KnownHash("a", "old", HASH), KnownHash("c", "y", HASH)]
    assert [(each.file, each.name) for each in merged_hashes(one, two)] == [
        ("a", "old"),
        ("a", "new"),
        ("b", "x"),
        ("c", "y"),
    ]


def test_a_hash_is_filled_in_for_the_very_copy_only() -> None:
    identity, other = "11" * 32, "22" * 32
    entries = [
        an_entry("a", Copied(identity), sha256=None),
        an_entry("b", Copied(other), sha256=None),
        an_entry("c", Copied(identity), sha256=OTHER),
        an_entry("d", sha256=HASH),
        an_entry("e", Copied(identity), sha256=None),
        an_entry("f", Copied(identity), sha256=None),
    ]
    known = [
        KnownHash("0", identity, HASH),
        KnownHash("a", other, OTHER),
        KnownHash("a", identity, HASH),
        KnownHash("b", identity, HASH),
        KnownHash("c", identity, HASH),
        KnownHash("dd", identity, HASH),
        KnownHash("f", identity, HASH),
    ]
    filled = list(with_known_hashes(entries, known))

    assert [each.sha256 for each in filled] == [HASH, None, OTHER, HASH, None, HASH]
    assert [each.location for each in filled] == [each.location for each in entries]
    assert list(with_known_hashes(entries, [])) == entries


versions = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 2))


@given(versions, versions)
def test_lines_that_another_manifest_has_are_left_out(one: dict[str, int], two: dict[str, int]) -> None:
    def lines(of: dict[str, int]) -> list[bytes]:
        return [f'{{"k":"{key}","s":{of[key]}}}'.encode() for key in sorted(of)]

    assert list(lines_not_in(lines(one), lines(two), name="one")) == [
        each for each in lines(one) if each not in lines(two)
    ]


def test_the_lines_are_those_of_the_specification() -> None:
    """FORMAT.md, section 16: what is stored in buckets must stay readable."""
    assert encode_proof(Proof("ab", 1, HASH, "e", 2)) == f'{{"o":"ab","t":1,"h":"{HASH}","e":"e","d":2}}\n'.encode()
    assert encode_proof(Proof("ab")) == b'{"o":"ab"}\n'
    assert encode_hash(KnownHash("ü", "ab", HASH)) == f'{{"k":"\\u00fc","o":"ab","h":"{HASH}"}}\n'.encode()


def test_a_folder_of_results_is_that_of_the_specification() -> None:
    """Two folders put together by hand from FORMAT.md, section 16, without encryption, are read as it says."""
    store = MemoryStore()

    def put(run_id: str, name: str, plain: bytes, *, header: bool) -> list[object]:
        stored = zstandard.ZstdCompressor(write_checksum=True).compress(plain)
        store.put(
            f"verified/retail/liferay/{run_id}/{name}", (b'{"format":1,"key_id":null}\n' if header else b"") + stored
        )
        return [len(plain), len(stored), hashlib.sha256(plain).hexdigest(), hashlib.sha256(stored).hexdigest()]

    old, new, dead = (f"2026112{day}T020000Z-0000000{day}" for day in (3, 4, 2))
    for number in range(3):
        put(dead, f"read/00000{number}", b'{"o":"dead %d","t":1}\n' % number, header=True)
    for run_id, taken_in, lines in (
        (old, {}, b'{"o":"old","t":5}\n'),
        (new, {old: None, dead: 2}, f'{{"o":"aa","h":"{HASH}","t":7}}\n{{"d":6,"o":"bb"}}\n'.encode()),
    ):
        streams = {
            "objects": [put(run_id, "objects/000000", lines, header=False)],
            "hashes": [put(run_id, "hashes/000000", f'{{"h":"{HASH}","k":"f","o":"aa"}}\n'.encode(), header=False)],
        }
        told = json.dumps({"streams": streams, "summary": {}, "taken_in": taken_in}, separators=(",", ":"))
        put(run_id, "results", told.encode(), header=True)

    repository: Any = SimpleNamespace(site=SITE, store=store, sealer=ZstdSealer())
    with open_proofs(repository, scratch=None) as kept:
        assert list(kept.proofs()) == [Proof("aa", 7, HASH), Proof("bb", damaged_at=6), Proof("dead 2", 1)]
        assert list(kept.hashes()) == [KnownHash("f", "aa", HASH)]
        assert kept.taken_in == {old: None, new: None, dead: 3}
        assert not kept.ignored
