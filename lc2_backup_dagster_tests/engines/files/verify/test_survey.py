"""A look at objects without reading them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.engines.files.verify.needed import NeededObject, Use
from lc2_backup_dagster.engines.files.verify.proofs import KnownHash, Proof
from lc2_backup_dagster.engines.files.verify.survey import Seen, State, Survey, look
from lc2_backup_dagster_tests.engines.files.library import HASH, SITE, a_part

NOW = 1_800_000_000
STORED = NOW - 50_000


def a_copy(name: str = "ab" * 32, **facts: object) -> NeededObject:
    use = Use(f"file {name[:4]}", 0, 10, None)
    needed = NeededObject(f"files/{SITE}/{name[:2]}/{name}", None, None, "etag", None, (use,), pending=True)
    return replace(needed, **facts)


def listed(needed: NeededObject, **facts: object) -> ObjectInfo:
    info = ObjectInfo(needed.key, 10, datetime.fromtimestamp(STORED, UTC), "etag")
    return replace(info, **facts)


def seen(found: ObjectInfo | None, proof: Proof | None = None, needed: NeededObject | None = None) -> Seen:
    return look(needed or a_copy(), found, proof, now=NOW)


def test_what_is_as_promised_is_sound_and_as_old_as_its_last_reading() -> None:
    needed = a_copy()
    new = seen(listed(needed))
    assert (new.state, new.never_read, new.proven_at, new.candidate.doubtful) == (State.SOUND, True, STORED, False)
    read = seen(listed(needed), Proof("x", NOW - 1000, HASH))
    assert (read.state, read.never_read, read.proven_at, read.known_sha256) == (State.SOUND, False, NOW - 1000, HASH)


@pytest.mark.parametrize(
    ("found", "proof", "state", "lost", "said"),
    [
        (None, None, State.GONE, True, "it is gone"),
        ({"size_bytes": 9}, None, State.RESIZED, True, "it holds 9 bytes, promised 10"),
        ({"etag": "new"}, None, State.CHANGED, False, "its etag is new instead of etag"),
        ({"etag": "new"}, {"etag": "new"}, State.SOUND, False, ""),
        ({}, {"etag": "new"}, State.CHANGED, False, "its etag is etag instead of new"),
        ({"etag": None}, None, State.SOUND, False, ""),
        ({}, {"damaged_at": NOW - 9}, State.DAMAGED_BEFORE, False, "was found damaged at 2027-01-15T07:59:51"),
        ({"etag": "new", "checksum": "crc32c:12"}, None, State.SOUND, False, ""),
        ({"checksum": "crc32c:34"}, None, State.CHANGED, False, "its checksum is crc32c:34 instead of crc32c:12"),
        ({"checksum": "sha256:34"}, None, State.SOUND, False, ""),
    ],
)
def test_what_is_not_as_promised_is_said(found, proof, state, lost, said) -> None:
    needed = a_copy(checksum="crc32c:12" if found and "checksum" in found else None)
    told = seen(None if found is None else listed(needed, **found), proof and Proof("x", NOW - 99, **proof), needed)
    assert (told.state, told.is_lost) == (state, lost)
    assert said in told.reason
    assert bool(told.reason) == (state is not State.SOUND)
    assert told.candidate.doubtful == (state in (State.CHANGED, State.DAMAGED_BEFORE))


def test_the_etag_of_a_sealed_object_says_nothing() -> None:
    sealed = a_copy(part=a_part(10), etag=None, pending=False)
    assert seen(listed(sealed, size_bytes=30, etag="any"), Proof("x", NOW, HASH), sealed).state is State.SOUND
    assert seen(listed(sealed, size_bytes=30), Proof("x", NOW, HASH), sealed).known_sha256 is None


def test_times_ahead_of_the_store_prove_nothing() -> None:
    assert seen(listed(a_copy()), Proof("x", NOW + 3601)).never_read
    slightly = seen(listed(a_copy()), Proof("x", NOW + 3599))
    assert (slightly.never_read, slightly.proven_at) == (False, NOW)
    ahead = datetime.fromtimestamp(NOW + 10**6, UTC)
    assert seen(listed(a_copy(), modified=ahead)).proven_at == NOW


def test_an_object_written_after_its_last_reading_is_unread() -> None:
    written = datetime.fromtimestamp(NOW - 100, UTC)
    again = seen(listed(a_copy(), modified=written), Proof("x", NOW - 3800, HASH))
    assert (again.never_read, again.proven_at) == (True, NOW - 100)
    assert again.known_sha256 == HASH, "it must still have the bytes that it had"
    assert not seen(listed(a_copy(), modified=written), Proof("x", NOW - 3700)).never_read


def of(names: str) -> list[NeededObject]:
    return [a_copy(name * 64) for name in names]


@pytest.mark.parametrize("forget", [True, False])
def test_three_streams_meet_by_object(tmp_path: Path, forget: bool) -> None:
    stored = [listed(each) for each in of("0acdf")]
    proofs = [Proof(name * 64, NOW - 7, HASH) for name in "1bce"]
    with Survey(SITE, now=NOW, scratch=tmp_path) as survey:
        looked = list(survey.take(of("abcd"), stored, proofs, forget=forget))
        again = list(survey.seen())
        kept = [proof.name[0] for proof in survey.proofs()]
        hashes = list(survey.hashes())

    assert [(each.key[-1], each.state, each.never_read) for each in again] == [
        ("a", State.SOUND, True),
        ("b", State.GONE, False),
        ("c", State.SOUND, False),
        ("d", State.SOUND, True),
    ]
    assert [each for _, each in looked] == again
    assert kept == list("bc" if forget else "1bce")
    assert hashes == [KnownHash("file bbbb", "b" * 64, HASH), KnownHash("file cccc", "c" * 64, HASH)]


def test_a_hash_that_the_manifests_have_is_not_offered_again(tmp_path: Path) -> None:
    known: Sequence[NeededObject] = [replace(each, pending=False) for each in of("a")]
    with Survey(SITE, now=NOW, scratch=tmp_path) as survey:
        list(survey.take(known, [listed(each) for each in known], [Proof("a" * 64, NOW, HASH)], forget=True))
        assert list(survey.hashes()) == []
