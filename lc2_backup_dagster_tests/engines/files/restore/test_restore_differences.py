"""A restore over what is there: only what differs is sent, what is too much goes only when that is asked for."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.aws.client import S3Connection
from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.clouds.prefixed import PrefixedStore
from lc2_backup_dagster.clouds.store import ObjectStore, StoreCapabilities
from lc2_backup_dagster.engines.files.manifest.identity import object_key
from lc2_backup_dagster.engines.files.manifest.selection import Selection
from lc2_backup_dagster.engines.files.restore.writing import Conflict
from lc2_backup_dagster.model.errors import (
    ConfigurationError,
    PartCorrupt,
    RestoreMismatch,
    StoreUnavailable,
    TargetNotEmpty,
)
from lc2_backup_dagster_tests.engines.files.library import (
    SITE,
    Library,
    all_of_a_library,
    facts_of,
    fill,
    store_below_public,
)
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock

pytestmark = pytest.mark.usefixtures("small_sizes")

FILES = all_of_a_library()


@pytest.fixture
def backup(library: Library, source: MemoryStore) -> str:
    fill(source, FILES)
    return library.capture()


def overwrite(library: Library, backup: str, target: ObjectStore, **options):
    return library.restore(backup, target, **{"conflict": Conflict.OVERWRITE, **options})


def everywhere(key: str) -> bool:
    return True


class Counting(MemoryStore):
    """Counts what is asked of it; ``related`` says whether its etags are those of the source."""

    related = True

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def can_copy_from(self, source: ObjectStore) -> bool:
        return self.related

    def stat(self, key: str):
        self.calls.append("stat")
        return super().stat(key)

    def open(self, key: str, **options):
        self.calls.append("open")
        return super().open(key, **options)


class Elsewhere(Counting):
    related = False


class TestWhatIsTheSame:
    def test_nothing_is_sent_again_to_where_the_same_etags_are(self, library, source, backup):
        target = Counting()
        library.restore(backup, target)

        result = overwrite(library, backup, target, origin=source)

        assert (result.written, result.kept, result.overwritten) == (0, len(FILES), 0)
        assert result.kept_bytes == sum(map(len, FILES.values()))

    def test_in_place_nothing_is_even_asked(self, library, source, backup):
        asked: list[str] = []
        stat = source.stat
        source.stat = lambda key: asked.append(key) or stat(key)

        result = overwrite(library, backup, source, origin=source)

        assert (result.kept, asked) == (len(FILES), [])

    @pytest.mark.parametrize("target", [Counting, Elsewhere])
    def test_equal_etags_of_another_store_prove_nothing(self, library, source, backup, target):
        there = target()
        library.restore(backup, there)

        result = overwrite(library, backup, there, origin=source if target is Elsewhere else None)

        assert (result.written, result.kept) == (len(FILES), 0)
        assert facts_of(there) == facts_of(source)

    def test_equal_bytes_with_other_facts_are_written(self, library, source, backup):
        target = Counting()
        library.restore(backup, target)
        for key, changes in {
            "empty.txt": {"content_type": "x/y"},
            "big/one-part": {"metadata": {"author": "me"}},
        }.items():
            body, info = target.objects[key]
            target.objects[key] = (body, replace(info, **changes))

        result = overwrite(library, backup, target, origin=source)

        assert (result.written, result.overwritten) == (2, 2)
        assert facts_of(target) == facts_of(source)

    def test_with_checksum_the_bytes_decide_wherever_they_are(self, library, source, backup):
        target = Elsewhere()
        library.restore(backup, target)
        body, info = target.objects["big/several"]
        # Rotten in place: size, etag and time are as they were.
        target.objects["big/several"] = (body[:-1] + b"!", info)

        result = overwrite(library, backup, target, checksum=True)

        hashed = [entry for entry in library.entries(backup) if entry.sha256 is not None]
        pending = len(FILES) - len(hashed)
        assert (result.kept, result.written) == (len(hashed) - 1, 1 + pending)
        assert pending
        assert facts_of(target) == facts_of(source)

    def test_without_checksum_rot_behind_an_equal_etag_is_believed(self, library, source, backup):
        target = Counting()
        library.restore(backup, target)
        body, info = target.objects["big/several"]
        target.objects["big/several"] = (body[:-1] + b"!", info)

        assert overwrite(library, backup, target, origin=source).written == 0

    def test_a_store_whose_answers_fail_for_a_while_is_asked_again(self, library, source, backup):
        class Flaky(Counting):
            failures = 3

            def stat(self, key: str):
                if self.failures:
                    self.failures -= 1
                    raise StoreUnavailable("503")
                return super().stat(key)

        target = Flaky()
        library.restore(backup, target)
        target.failures = 3

        assert overwrite(library, backup, target, origin=source).kept == len(FILES)

    def test_in_a_directory_equal_size_and_time_are_the_same(self, key: KeyFile, tmp_path: Path):
        source = DirectoryStore(tmp_path / "library", create=True)
        fill(source, {"a": b"1", "b": b"2", "c/d": b"3"})
        library = Library(source, MemoryStore(), key=key, clock=SetClock(), protection_of=store_below_public)
        backup = library.capture()
        target = DirectoryStore(tmp_path / "target", create=True)
        library.restore(backup, target)
        for name in ("a", "b"):
            status = (tmp_path / "library" / name).stat()
            os.utime(tmp_path / "target" / name, ns=(status.st_mtime_ns, status.st_mtime_ns))
        (tmp_path / "target" / "b").write_bytes(b"!")

        result = overwrite(library, backup, target, origin=source)

        assert result.kept == 1
        assert facts_of(target) == facts_of(source)

    def test_in_a_bucket_an_equal_time_is_chance(self, library, source, backup):
        target = Elsewhere()
        fill(target, {"big/several": b"x" * len(FILES["big/several"])})
        assert target.objects["big/several"][1].modified == source.objects["big/several"][1].modified

        overwrite(library, backup, target, origin=source)

        assert target.get("big/several") == FILES["big/several"]


class TestRehearsal:
    def test_it_counts_what_a_restore_then_does_and_changes_nothing(self, library, source, backup, clock):
        clock.move(hours=1)
        fill(source, {"big/several": b"damaged", "since/one": b"new", "since/two": b"new"})
        source.delete(["empty.txt"])
        before = dict(source.objects)
        options = {"origin": source, "delete_extra": everywhere}

        rehearsed = overwrite(library, backup, source, rehearse=True, **options)
        assert source.objects == before
        done = overwrite(library, backup, source, **options)

        for name in ("selected", "written", "written_bytes", "kept", "kept_bytes", "overwritten", "deleted",
                     "deleted_bytes"):  # fmt: skip
            assert getattr(rehearsed, name) == getattr(done, name), name
        assert (done.written, done.overwritten, done.deleted.count) == (2, 1, 2)

    def test_no_content_is_fetched(self, library, backup):
        fetched: list[str] = []
        get = library.store.get

        def remember(key: str, **options: object) -> bytes:
            fetched.append(key)
            return get(key, **options)

        library.store.get = remember
        result = library.restore(backup, Elsewhere(), rehearse=True)

        assert result.written == len(FILES)
        assert not [key for key in fetched if key.startswith("files/")]


class TestDeleting:
    def test_what_the_backup_does_not_have_goes_after_all_else(self, library, source, backup, clock):
        clock.move(hours=1)
        fill(source, {"big/several": b"damaged", "since/one": b"new", "zzz": b"new"})

        result = overwrite(library, backup, source, origin=source, delete_extra=everywhere)

        assert [key for key, _ in result.deleted.samples] == ["since/one", "zzz"]
        assert (result.deleted.count, result.deleted_bytes) == (2, 6)
        wanted = MemoryStore()
        fill(wanted, FILES)
        assert facts_of(source) == facts_of(wanted)

    def test_without_being_told_nothing_goes(self, library, source, backup):
        fill(source, {"since": b"stays"})

        assert overwrite(library, backup, source, origin=source).deleted.count == 0
        assert source.get("since") == b"stays"

    def test_only_below_the_prefix(self, library, source, backup):
        fill(source, {"big/since": b"goes", "bigger": b"stays", "public/since": b"stays"})

        result = overwrite(library, backup, source, selection=Selection.below("big/"), delete_extra=everywhere)

        assert [key for key, _ in result.deleted.samples] == ["big/since"]
        assert {"bigger", "public/since"} <= source.objects.keys()

    def test_only_below_the_target_and_only_what_a_backup_would_have_held(self, library, source, backup):
        target = MemoryStore()
        target.put("outside", b"stays")
        target.put("in/thumbnail.png", b"stays")
        target.put("in/extra", b"goes")

        overwrite(library, backup, PrefixedStore(target, "in/"), delete_extra=lambda key: not key.endswith(".png"))

        assert target.objects.keys() - {f"in/{key}" for key in FILES} == {"outside", "in/thumbnail.png"}

    @pytest.mark.parametrize(
        "options",
        [
            {"selection": Selection.matching(["big/*"])},
            {"selection": Selection.only("big/several")},
            {"conflict": Conflict.SKIP},
        ],
    )
    def test_a_choice_of_files_or_another_policy_deletes_nothing(self, library, source, backup, options):
        fill(source, {"since": b"stays", "big/several": b"changed"})
        before = dict(source.objects)

        with pytest.raises(ConfigurationError, match="everything below a prefix"):
            overwrite(library, backup, source, delete_extra=everywhere, **options)
        assert source.objects == before

    def test_a_prefix_that_the_backup_does_not_have_empties_nothing(self, library, source, backup):
        fill(source, {"oops/one": b"stays"})

        with pytest.raises(ConfigurationError, match="no file there"):
            overwrite(library, backup, source, selection=Selection.below("oops/"), delete_extra=everywhere)
        assert source.get("oops/one") == b"stays"

    def test_a_damaged_file_keeps_everything(self, library, source, backup):
        stored = next(e for e in library.entries(backup) if e.key == "big/several").location.identity
        body, info = library.store.objects[object_key(SITE, stored, part=0)]
        library.store.objects[object_key(SITE, stored, part=0)] = (bytes([body[0] ^ 1]) + body[1:], info)
        target = MemoryStore()
        target.put("since", b"stays")

        with pytest.raises(PartCorrupt, match="big/several"):
            overwrite(library, backup, target, delete_extra=everywhere)
        assert target.get("since") == b"stays"

    def test_an_unproven_file_keeps_everything(self, library, source, backup):
        stored = object_key(
            SITE, next(e for e in library.entries(backup) if e.key == "public/photo.jpg").location.identity
        )
        body, info = library.store.objects[stored]
        library.store.objects[stored] = (body[::-1], replace(info, etag="another"))
        target = MemoryStore()
        target.put("since", b"stays")

        with pytest.raises(RestoreMismatch, match=r"1 files were restored, but nothing proves.*'public/photo.jpg'"):
            overwrite(library, backup, target, delete_extra=everywhere)
        assert target.get("since") == b"stays"

    def test_a_target_that_fails_while_writing_keeps_everything(self, library, source, backup):
        class Failing(MemoryStore):
            def put_stream(self, key, chunks, **options):
                if key == "quote\"'<&>.txt":
                    raise StoreUnavailable("503")
                return super().put_stream(key, chunks, **options)

        target = Failing()
        target.put("a-since", b"stays")

        with pytest.raises(StoreUnavailable) as caught:
            overwrite(library, backup, target, delete_extra=everywhere)
        assert target.get("a-since") == b"stays"
        assert "conflict 'overwrite' to go on" in caught.value.__notes__[0]

    def test_what_appears_meanwhile_stays(self, library, source, backup):
        class Busy(MemoryStore):
            def put_stream(self, key, chunks, **options):
                self._write("meanwhile", b"new", False, None, {})
                return super().put_stream(key, chunks, **options)

        target = Busy()
        overwrite(library, backup, target, delete_extra=everywhere)
        assert target.get("meanwhile") == b"new"

    @pytest.mark.parametrize("marker", ["lc2-repository.json", "backups/lc2-repository.json"])
    def test_a_place_that_holds_a_repository_is_never_cleared(self, library, source, backup, marker):
        target = MemoryStore()
        target.put(marker, b"{}")

        with pytest.raises(TargetNotEmpty, match="holds a backup repository"):
            overwrite(library, backup, target, delete_extra=everywhere)
        assert target.objects.keys() == {marker}


@pytest.mark.parametrize("kind", ["directory", "s3"])
def test_on_real_stores_a_library_is_set_back_to_an_earlier_backup(
    kind: str, request: pytest.FixtureRequest, key: KeyFile, tmp_path: Path
) -> None:
    if kind == "directory":
        numbers = iter(range(9))
        make = lambda: DirectoryStore(tmp_path / f"store-{next(numbers)}", create=True)  # noqa: E731
    else:
        connection: S3Connection = request.getfixturevalue("s3_connection")
        make_bucket = request.getfixturevalue("make_bucket")
        make = lambda: S3Store(connection, make_bucket())  # noqa: E731
    source, store = make(), make()
    fill(source, FILES)
    library = Library(source, store, key=key, clock=SetClock(), protection_of=store_below_public, scratch=tmp_path)
    backup = library.capture()
    before = facts_of(source)
    fill(source, {"20097/00007/1.0": b"changed", "new/file": b"n", "public/photo.jpg": b"another"})
    source.delete(["empty.txt"])

    result = overwrite(library, backup, source, origin=source, delete_extra=everywhere)

    assert (result.written, result.overwritten, result.deleted.count) == (3, 2, 1)
    assert result.kept == len(FILES) - 3
    assert facts_of(source) == before


def test_capabilities_tell_whether_times_can_be_compared() -> None:
    """What ``Sameness`` relies on: a store that keeps no metadata of objects is one whose times are given."""
    assert not DirectoryStore(Path("/nowhere")).capabilities.user_metadata
    assert StoreCapabilities(ordered_listing=True, server_side_copy=True, user_metadata=True).user_metadata
