"""Verification of the files of all backups of a site, by its policy."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.engines.files.capture.counts import Sampled
from lc2_backup_dagster.engines.files.verify.choices import SampleProof
from lc2_backup_dagster.engines.files.verify.proof_sets import open_proofs
from lc2_backup_dagster.engines.files.verify.sampling import SampleAim, SampleUnit
from lc2_backup_dagster.engines.files.verify.verify import DamagedObject, FilesVerification
from lc2_backup_dagster.model.errors import (
    AccessDenied,
    ConfigurationError,
    FilesUnverified,
    PartCorrupt,
    PartMissing,
    StorageFull,
)
from lc2_backup_dagster.operations.site_context import SiteContext, VerificationPolicy
from lc2_backup_dagster.operations.verify import files as verify_files
from lc2_backup_dagster.operations.verify.files import (
    Depth,
    FilesWish,
    require_proven,
    scheduled_wish,
    verify_files_of,
    verify_library,
)
from lc2_backup_dagster.operations.verify.verified import Damage, VerifiedFiles, statement
from lc2_backup_dagster.repository.parts import Part
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster.sites.assembly import open_site
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.engines.files.library import SITE, Library, fill, store_below_public
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock
from lc2_backup_dagster_tests.sites.site_text import definition_of

ENVIRONMENT = {"RETAIL_DB_PASSWORD": "x", "REPL_PASSWORD": "x", "ADMIN_PASSWORD": "x"}
FILES = {f"20097/{number:02d}": bytes([number]) * 400_000 * 3 for number in range(5)} | {"public/photo": b"jpeg" * 99}
DUE = FilesWish(Depth.DUE, keep=True)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def library(clock: SetClock, tmp_path: Path) -> Library:
    source = MemoryStore(clock, url="memory://source")
    fill(source, FILES)
    key = KeyFile.create(tmp_path / "site.key")
    return Library(source, MemoryStore(clock), key=key, clock=clock, protection_of=store_below_public)


@pytest.fixture
def context(library: Library, tmp_path: Path) -> SiteContext:
    opened = open_site(definition_of(), environment=ENVIRONMENT).context
    return replace(
        opened,
        database=replace(opened.database, scratch_directory=tmp_path),
        open_repository=lambda create: library.repository,
    )


@pytest.fixture
def backups(library: Library, clock: SetClock) -> list[str]:
    """Three backups: of the first version of a file, of the second, and without it."""
    first = library.capture()
    clock.move(hours=1)
    fill(library.source, {"20097/00": b"second version" * 100_000})
    second = library.capture()
    clock.move(hours=1)
    library.source.delete(["20097/00"])
    return [first, second, library.capture()]


def object_of(library: Library, backup: str, file: str) -> str:
    return next(entry for entry in library.entries(backup) if entry.key == file).stored_objects(SITE)[0][0]


def objects_of(library: Library, *backups: str) -> set[str]:
    return {key for backup in backups for entry in library.entries(backup) for key, _ in entry.stored_objects(SITE)}


def flip(library: Library, key: str) -> None:
    store = library.store
    assert isinstance(store, MemoryStore)
    body, info = store.objects[key]
    changed = bytes([body[0] ^ 1]) + body[1:]
    store.objects[key] = (changed, ObjectInfo(key, len(body), info.modified, info.etag))


def test_the_objects_of_all_backups_are_read_each_once(library, context, backups) -> None:
    found = verify_library(context, DUE).found
    assert found.objects == found.read_objects == len(objects_of(library, *backups))
    assert found.files < sum(len(list(library.entries(each))) for each in backups), "equal lines are taken once"
    assert verify_library(context, DUE).found.read_objects == 0


def test_damage_is_named_with_the_newest_backup_that_needs_it(library, context, backups) -> None:
    owners = {
        object_of(library, backups[0], "20097/00"): backups[0],
        object_of(library, backups[1], "20097/00"): backups[1],
        object_of(library, backups[0], "20097/01"): backups[2],
    }
    for key in owners:
        flip(library, key)
    verified = verify_library(context, DUE)
    assert {each.key: each.backup_id for each in verified.damages} == owners
    with pytest.raises(PartCorrupt, match="3 of 7 stored objects are damaged or gone") as raised:
        require_proven(verified)
    assert all(key in raised.value.message for key in owners)
    assert "(needed by '20097/0" in raised.value.message


def test_one_backup_is_verified_by_itself(library, context, backups) -> None:
    flip(library, object_of(library, backups[0], "20097/00"))
    assert [len(verify_files_of(context, each, FilesWish()).damages) for each in backups] == [1, 0, 0]


def test_a_damaged_list_of_files_is_damage_and_the_others_are_verified(library, context, backups) -> None:
    verify_library(context, DUE)
    known = proven(library)
    flip(library, f"backups/retail/liferay/files/{backups[1]}/files/000000")
    verified = verify_library(context, FilesWish(keep=True))
    assert [(each.backup_id, each.key) for each in verified.damages] == [
        (backups[1], f"backups/retail/liferay/files/{backups[1]}/files/000000")
    ]
    assert verified.found.read_objects == len(objects_of(library, backups[0], backups[2]))
    assert proven(library) == known, "what is known of the others is not forgotten"


def proven(library: Library) -> set[str]:
    with open_proofs(library.repository, scratch=None) as kept:
        return {each.name for each in kept.proofs()}


@pytest.mark.parametrize("when", ["objects are listed", "its list of files is read", "objects are read"])
def test_what_was_purged_meanwhile_is_no_damage(library, context, backups, monkeypatch, when) -> None:
    gone = object_of(library, backups[0], "20097/00")
    folder = f"backups/retail/liferay/files/{backups[0]}/"
    store, repository = library.store, library.repository
    listed, get, read_sealed = store.list, store.get, repository.read_sealed

    first = threading.Lock()

    def purge_when(now: str) -> None:
        if now == when and first.acquire(blocking=False):
            for type in (RecordType.EXPIRE, RecordType.PURGE):
                repository.tell(type, initiator=TESTER, body={"backup_ids": [backups[0]]})
            store.delete([gone, *(each for each in list(store.objects) if each.startswith(folder))])

    def purging_list(prefix: str = "", **options: Any) -> Iterator[ObjectInfo]:
        if prefix.startswith("files/"):
            purge_when("objects are listed")
        return listed(prefix, **options)

    def purging_get(key: str, **options: Any) -> bytes:
        if key.startswith(f"{folder}files/"):
            purge_when("its list of files is read")
        return get(key, **options)

    def purging_read(key: str, part: Part, *, key_id: str | None) -> bytes:
        purge_when("objects are read")
        return read_sealed(key, part, key_id=key_id)

    monkeypatch.setattr(store, "list", purging_list)
    monkeypatch.setattr(store, "get", purging_get)
    monkeypatch.setattr(repository, "read_sealed", purging_read)
    verified = verify_library(context, DUE)
    assert gone not in store.objects
    assert (verified.damages, verified.found.damaged_count) == ((), 0)
    assert verified.backup_ids == tuple(backups[1:])
    require_proven(verified)


def test_a_list_of_files_that_was_purged_while_it_was_read_is_no_damage(library, context, backups, monkeypatch) -> None:
    folder, repository, get = f"backups/retail/liferay/files/{backups[2]}/", library.repository, library.store.get

    def purging(key: str, **options: Any) -> bytes:
        if key.startswith(f"{folder}files/") and key in library.store.objects:
            for type in (RecordType.EXPIRE, RecordType.PURGE):
                repository.tell(type, initiator=TESTER, body={"backup_ids": [backups[2]]})
            library.store.delete([key])
        return get(key, **options)

    monkeypatch.setattr(library.store, "get", purging)
    monkeypatch.setattr(verify_files, "lines_not_in", lambda lines, others, *, name: lines)  # so that it is read once
    verified = verify_library(context, DUE)
    assert (verified.damages, verified.backup_ids) == ((), tuple(backups[:2]))


def test_what_is_gone_and_still_needed_is_damage(library, context, backups) -> None:
    library.store.delete([object_of(library, backups[2], "public/photo")])
    with pytest.raises(PartMissing, match="1 of 7 stored objects are damaged or gone: .*it is gone.*'public/photo'"):
        require_proven(verify_library(context, DUE))


def test_a_run_a_day_lets_nothing_grow_over_the_age(library, context, backups, clock) -> None:
    read = []
    for _ in range(70):
        clock.move(days=1)
        verified = verify_library(context, DUE)
        require_proven(verified)
        read.append(verified.found.read_objects)
    assert [day for day, count in enumerate(read) if count] == [0, 29, 58], "due two days before they are 30 days old"


def test_runs_that_read_too_little_fail_with_numbers(library, context, backups, clock) -> None:
    policy = replace(context.limits.verification, max_bytes=1)
    context = replace(context, limits=replace(context.limits, verification=policy))
    clock.move(days=28)
    require_proven(verify_library(context, DUE))
    clock.move(days=10)
    with pytest.raises(
        FilesUnverified, match=r"5 of 7 stored files were not read for more than 30 days, .* 38\.\d days"
    ):
        require_proven(verify_library(context, scheduled_wish(policy)))


def test_without_an_age_the_scheduled_run_reads_a_sample(library, context, backups) -> None:
    policy = VerificationPolicy(max_age=None, aim=SampleAim(Fraction(1, 4), Fraction(1, 2)))
    context = replace(context, limits=replace(context.limits, verification=policy))
    verified = verify_library(context, scheduled_wish(policy))
    assert verified.found.sample is not None
    assert (verified.found.sample.population, verified.found.read_objects) == (7, 2)
    require_proven(verified)


def test_a_sample_that_is_larger_than_it_may_be_is_refused_before_anything_is_read(library, context, backups) -> None:
    wish = FilesWish(Depth.SAMPLE, max_bytes=10, keep=True)
    with pytest.raises(ConfigurationError, match="more than the 10 that may be read"):
        verify_library(context, wish)
    assert proven(library) == set()
    fits = replace(wish, max_bytes=10**9, seed="s")
    assert verify_library(context, fits).found.read_objects == 7


def test_a_seed_repeats_a_sample(library, context, backups) -> None:
    aim = SampleAim(Fraction(1, 4), Fraction(1, 2))
    runs = [
        verify_library(context, FilesWish(Depth.SAMPLE, aim, seed=seed)).found.read_bytes for seed in ("a", "a", "b")
    ]
    assert runs[0] == runs[1]


def test_a_site_without_files_has_nothing_to_verify(library, context) -> None:
    verified = verify_library(context, DUE)
    require_proven(verified)
    assert (verified.backup_ids, verified.found.objects) == ((), 0)


A_DAMAGE = DamagedObject("files/x", "it is gone", True, 1, ("a",))


@pytest.mark.parametrize(
    ("facts", "error", "said"),
    [
        ({}, None, ""),
        ({"refused": Sampled(2, [("files/x", "403")])}, AccessDenied, "2 stored files may not be read"),
        ({"doubtful": Sampled(1, [("files/x", "its etag is")])}, FilesUnverified, "the store tells other things"),
        ({"over_age": 3, "oldest_seconds": 31 * 86400}, FilesUnverified, "3 of 9 stored files were not read"),
        ({"unkept": StorageFull("no space")}, StorageFull, "no space"),
        ({"over_age": 1, "unkept": StorageFull("no space")}, FilesUnverified, "1 of 9"),
    ],
)
def test_what_is_not_proven_is_an_error(facts, error, said) -> None:
    verified = VerifiedFiles(("b",), FilesVerification(objects=9, read_objects=9, **facts), (), 30)
    if error is None:
        require_proven(verified)
        return
    with pytest.raises(error, match=said):
        require_proven(verified)
    damaged = replace(verified, damages=(Damage("b", "files/x", "it is gone", ("a",)),))
    with pytest.raises(PartCorrupt):
        require_proven(damaged)


def a_sample(**facts: Any) -> SampleProof:
    fields: dict[str, Any] = {
        "aim": SampleAim(),
        "seed": "s",
        "population": 10_000_000,
        "population_bytes": 10**12,
        "drawn": 299,
        "drawn_bytes": 10**9,
        "undetected": 99_684,
    }
    return SampleProof(**{**fields, **facts})


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"read_objects": 9, "objects": 9}, "all 9 objects read"),
        (
            {"objects": 9, "oldest_seconds": 86400},
            "9 objects looked at, none read; the oldest was read, or stored, 1.0",
        ),
        (
            {"read_objects": 299, "sample": a_sample()},
            "299 of 10000000 objects read, drawn at random with seed s, no damage: with 95 % confidence "
            "at most 0.997 % (99684) are damaged",
        ),
        (
            {"read_objects": 299, "sample": a_sample(aim=SampleAim(unit=SampleUnit.BYTES), undetected=None)},
            "no damage: with 95 % confidence less than 1 % of the bytes lie in damaged objects",
        ),
        ({"read_objects": 301, "sample": a_sample()}, "301 of 10000000 objects read, 299 of them drawn at random"),
        (
            {"read_objects": 9, "objects": 9, "sample": a_sample(drawn=9, population=9, undetected=0)},
            "all 9 objects read, no damage",
        ),
        (
            {"read_objects": 298, "damaged_count": 1, "sample": a_sample()},
            "298 of 10000000 objects read; 1 are damaged",
        ),
        ({"read_objects": 1, "refused": Sampled(2)}, "2 may not be read: nothing is known of them"),
        ({"read_objects": 1, "doubtful": Sampled(2)}, "2 look changed and were not read: nothing is known"),
        ({"read_objects": 1, "over_age": 2}, "2 were not read for more than 30 days"),
        ({"read_objects": 1, "due_left": 2}, "2 that are due did not fit into this run"),
    ],
)
def test_it_is_said_what_was_proven_and_what_was_not(facts: dict[str, Any], said: str) -> None:
    found = FilesVerification(**{"objects": 10_000_000, **facts})
    told = statement(VerifiedFiles(("b",), found, (), 30))
    assert said in told
    if found.damaged_count or found.refused.count:
        assert "confidence" not in told
