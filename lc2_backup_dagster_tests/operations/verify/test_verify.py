"""Verification: a bit flipped in every kind of stored object is caught and named; unknown is never damage."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lc2_backup_dagster.engines.files.manifest.entry import Bundled, Copied, Parts
from lc2_backup_dagster.model.errors import IntegrityError, LogCorrupt, ManifestCorrupt, StoreUnavailable
from lc2_backup_dagster.operations.capture.files import file_entries
from lc2_backup_dagster.operations.verify.verify import verify_backup
from lc2_backup_dagster_tests.operations.fixtures import BackedUp
from lc2_backup_dagster_tests.operations.tiny_site import SEALED_ALONE, TinySite, picture_of

BACKUPS = "backups/retail/liferay"


@dataclass(frozen=True)
class Kind:
    """A kind of stored object.

    Attributes:
        name: for people.
        backup: which backup is verified: ``base`` or ``point``.
        key: finds one object of the kind.
        files: finds the files that need it.
        vital: text inside the object before the byte that is changed; None for its middle.
        opening: the error that names the damage when already opening the repository meets it.
    """

    name: str
    backup: str
    key: Callable[[BackedUp], str]
    files: Callable[[BackedUp], list[str]] = lambda done: []
    vital: bytes | None = None
    opening: tuple[type[IntegrityError], str] | None = None


def of_backup(name: str, path: str) -> Callable[[BackedUp], str]:
    def key(done: BackedUp) -> str:
        backup = getattr(done, name).backup
        return f"{BACKUPS}/{backup.component}/{backup.backup_id}/{path}"

    return key


def located(done: BackedUp, kind: type, *, several: bool = False) -> list:
    """Return the entries of the newest files backup that lie in the first object of a kind of location."""
    repository = done.site.repository
    with file_entries(repository, done.files.backup.backup_id) as found:
        entries = [
            entry
            for entry in found
            if isinstance(entry.location, kind)
            and (not isinstance(entry.location, Parts) or (len(entry.location.parts) > 1) == several)
        ]
    first = entries[0].stored_objects(repository.site)[-1][0]
    return [entry for entry in entries if entry.stored_objects(repository.site)[-1][0] == first]


def content(kind: type, **options) -> dict:
    return {
        "key": lambda done: located(done, kind, **options)[0].stored_objects(done.site.repository.site)[-1][0],
        "files": lambda done: [entry.key for entry in located(done, kind, **options)],
    }


KINDS = [
    Kind(
        "marker", "point", lambda done: "lc2-repository.json", vital=b'"what":"', opening=(LogCorrupt, "lc2-repository")
    ),
    Kind(
        "data key",
        "point",
        lambda done: "keys/retail/liferay/data-1.json",
        vital=b'"wrapped":"',
        opening=(ManifestCorrupt, "keys/retail/liferay/data-1.json"),
    ),
    Kind(
        "first record",
        "point",
        lambda done: f"log/retail/liferay/{1:020}.json",
        opening=(LogCorrupt, "record 1 of the log of retail/liferay"),
    ),
    Kind(
        "last record",
        "point",
        lambda done: f"log/retail/liferay/{done.point.backup.sequence:020}.json",
        opening=(LogCorrupt, "record 10 of the log of retail/liferay"),
    ),
    Kind("manifest of the base backup", "base", of_backup("base", "manifest.json")),
    Kind("manifest of the dump", "point", of_backup("dump", "manifest.json")),
    Kind("manifest of the files", "point", of_backup("files", "manifest.json")),
    Kind("manifest of the point", "point", of_backup("point", "manifest.json")),
    Kind("part of the base backup", "base", of_backup("base", "base.tar/000002")),
    Kind("index of the base backup", "base", of_backup("base", "base.index/000000")),
    Kind("part of the dump", "point", of_backup("dump", "dump.custom/000000")),
    Kind("roles of the dump", "point", of_backup("dump", "globals.sql/000000")),
    Kind("rows that name files", "point", of_backup("dump", "file_references.jsonl/000000")),
    Kind("list of files", "point", of_backup("files", "files/000000")),
    Kind("bundle", "point", **content(Bundled)),
    Kind("file sealed alone", "point", **content(Parts)),
    Kind("part of a large file", "point", **content(Parts, several=True)),
    Kind("copy made by the store", "point", **content(Copied)),
]


@pytest.fixture
def site(backed_up, tmp_path):
    return backed_up.site.copied(tmp_path)


def verify(site: TinySite, done: BackedUp, which: str, **options):
    backup_id = getattr(done, which).backup.backup_id
    return [damage for each in verify_backup(site.context, backup_id, **options) for damage in each.damages]


def flip(path: Path, at: int, bit: int = 0) -> None:
    """Change one bit, in a new file: the old one is linked from elsewhere."""
    body = bytearray(path.read_bytes())
    body[at] ^= 1 << bit
    path.unlink()
    path.write_bytes(body)


def place_to_flip(path: Path, vital: bytes | None) -> int:
    body = path.read_bytes()
    return len(body) // 2 if vital is None else body.index(vital) + len(vital) + 3


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_flipped_bit_is_caught_and_named(site, backed_up, kind):
    key = kind.key(backed_up)
    path = site.bucket / key
    flip(path, place_to_flip(path, kind.vital), bit=4)
    if kind.opening is not None:
        error, named = kind.opening
        with pytest.raises(error) as refusal:
            verify(site, backed_up, kind.backup)
        assert named in refusal.value.message
        return
    [damage] = verify(site, backed_up, kind.backup)
    assert damage.key == key
    assert sorted(damage.affected) == sorted(kind.files(backed_up))[: len(damage.affected)]
    assert len(damage.affected) == min(20, len(kind.files(backed_up)))


@pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS if kind.name not in ("data key", "last record")],
    ids=lambda kind: kind.name,
)
def test_an_object_that_is_gone_is_caught_and_named(site, backed_up, kind):
    key = kind.key(backed_up)
    (site.bucket / key).unlink()
    if kind.opening is not None:
        error, named = kind.opening
        with pytest.raises(error) as refusal:
            verify(site, backed_up, kind.backup)
        assert named in refusal.value.message
        return
    [damage] = verify(site, backed_up, kind.backup)
    assert damage.key == key
    assert "gone" in damage.reason


@pytest.mark.parametrize("position", [0, 1, -1], ids=["first byte", "second byte", "last byte"])
def test_the_place_of_the_bit_does_not_matter(site, backed_up, position):
    names = {"list of files", "part of the dump", "manifest of the point"}
    keys = {kind.key(backed_up) for kind in KINDS if kind.name in names}
    for key in keys:
        flip(site.bucket / key, position, bit=7)
    assert {damage.key for damage in verify(site, backed_up, "point")} == keys


def test_every_damage_is_named_at_once(site, backed_up):
    keys = {kind.key(backed_up) for kind in KINDS if kind.name in ("bundle", "file sealed alone", "part of the dump")}
    for key in keys:
        flip(site.bucket / key, 50)
    found = verify(site, backed_up, "point")
    assert {damage.key for damage in found} == keys
    assert SEALED_ALONE in {file for damage in found for file in damage.affected}


def test_whole_backups_are_found_whole_and_nothing_is_changed(backed_up):
    before = picture_of(backed_up.site.bucket)
    for which in ("base", "full", "point"):
        verified = verify_backup(backed_up.site.context, getattr(backed_up, which).backup.backup_id)
        assert [each.damages for each in verified] == [()] * len(verified)
    assert [each.backup.component for each in verified] == ["recovery_point", "database_dump", "files"]
    assert verified[2].objects > 20
    assert picture_of(backed_up.site.bucket) == before


def test_a_quick_look_finds_what_is_gone_and_what_is_short_without_reading_files(site, backed_up):
    bundle, alone, copy = (
        next(kind for kind in KINDS if kind.name == name).key(backed_up)
        for name in ("bundle", "file sealed alone", "copy made by the store")
    )
    (site.bucket / copy).unlink()
    path = site.bucket / bundle
    body = path.read_bytes()
    path.unlink()
    path.write_bytes(body[:-1])
    flip(site.bucket / alone, 50)
    assert {damage.key for damage in verify(site, backed_up, "point", deep=False)} == {copy, bundle}
    assert {damage.key for damage in verify(site, backed_up, "point")} == {copy, bundle, alone}


def test_a_journal_and_garbage_of_dead_attempts_are_nobodys_damage(site, backed_up):
    for key in (f"{BACKUPS}/files/20260101T000000Z-00000000/journal/000000", "files/retail/liferay/00/garbage"):
        (site.bucket / key).parent.mkdir(parents=True, exist_ok=True)
        (site.bucket / key).write_bytes(b"half-written")
    assert verify(site, backed_up, "point") == []


def test_a_store_that_is_away_says_nothing_about_damage(site, backed_up, monkeypatch):
    context = site.context
    repository = context.open_repository(False)
    repository.backups()

    def away(key, **_):
        raise StoreUnavailable(f"get '{key}': 503 slow down", key=key)

    monkeypatch.setattr(type(repository.store), "get", lambda self, key, **options: away(key))
    for which in ("base", "point"):
        with pytest.raises(StoreUnavailable, match="503"):
            verify_backup(
                replace(context, open_repository=lambda create: repository), getattr(backed_up, which).backup.backup_id
            )
