"""Files that were deleted or replaced after the dump's moment are kept for its rows, and restored with the point."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lc2_backup_dagster.model.errors import AccessDenied
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.bind_recovery_point import bind_recovery_point
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster.operations.capture.files import capture_site_files
from lc2_backup_dagster.operations.capture.row_references import row_references
from lc2_backup_dagster.operations.capture.shards import begin_shards, capture_shard, commit_shards
from lc2_backup_dagster.operations.restore.request import RestoreRequest, RestoreScope
from lc2_backup_dagster.operations.restore.run import restore
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.engines.files.versioned import Versioned
from lc2_backup_dagster_tests.fakes import Killed, MemoryStore, SetClock
from lc2_backup_dagster_tests.operations.fixtures import MakeSite
from lc2_backup_dagster_tests.operations.rows_site import RowsSite
from lc2_backup_dagster_tests.operations.tiny_site import open_window


@pytest.fixture
def site(tmp_path: Path) -> RowsSite:
    return RowsSite(tmp_path)


@pytest.fixture
def unversioned(tmp_path: Path) -> RowsSite:
    """A site whose source keeps no versions."""
    return RowsSite(tmp_path, source=MemoryStore(SetClock(), url="memory://source"))


def matched(site: RowsSite):
    return site.bind().manifest.details["row_match"]


def test_a_file_deleted_after_the_dump_comes_from_the_backup_before_and_costs_nothing(unversioned: RowsSite) -> None:
    site = unversioned
    site.add(kept=b"stays", gone=b"deleted soon")
    site.capture()
    dump = site.dump()
    site.drop("gone")
    files = site.capture()
    assert files.manifest.details["kept"] == {
        "dump": dump.backup_id, "wanted": 1, "from_backup": 1, "from_versions": 0, "lost": 0, "lost_sample": [],
        "objects_more": 1, "bytes_more": 12, "problem": "",
    }  # fmt: skip
    assert files.backup.summary["copied_bytes"] == 0
    point = site.bind()
    match = point.manifest.details["row_match"]
    assert (match["dangling_count"], match["from_backup"], match["from_versions"]) == (0, 1, 0)
    assert site.restored(point.backup.backup_id) == {"kept": b"stays", "gone": b"deleted soon"}


def test_the_files_backup_itself_stays_a_listing(unversioned: RowsSite) -> None:
    site = unversioned
    site.add(kept=b"stays", gone=b"deleted soon")
    site.capture()
    site.dump()
    site.drop("gone")
    files = site.capture()
    assert site.contents(files) == {"kept": 5}
    assert site.restored(files.backup.backup_id) == {"kept": b"stays"}


def test_a_file_born_and_deleted_between_two_captures_comes_from_the_versions(site: RowsSite) -> None:
    site.add(kept=b"stays")
    site.capture()
    site.add(brief=b"born and gone")
    site.dump()
    site.drop("brief")
    files = site.capture()
    assert (files.manifest.details["kept"]["from_backup"], files.manifest.details["kept"]["from_versions"]) == (0, 1)
    assert files.backup.summary["copied_bytes"] == 13
    point = site.bind()
    assert point.manifest.details["row_match"]["dangling_count"] == 0
    assert site.restored(point.backup.backup_id) == {"kept": b"stays", "brief": b"born and gone"}


def test_without_versions_exactly_that_file_is_listed_with_its_row(unversioned: RowsSite) -> None:
    site = unversioned
    site.add(kept=b"stays")
    site.capture()
    site.add(brief=b"born and gone")
    site.dump()
    site.drop("brief")
    files = site.capture()
    assert files.manifest.details["kept"]["lost_sample"] == [["brief", ""]]
    match = matched(site)
    assert (match["dangling_count"], match["dangling"]) == (1, ["brief (row=brief)"])


@pytest.mark.parametrize("body", [b"the new text", b"of one size"])
def test_a_file_replaced_in_place_is_restored_as_it_was_at_the_moment(site: RowsSite, body: bytes) -> None:
    site.add(text=b"the old one")
    site.capture()
    site.add(text=b"as of the m")
    site.dump()
    site.add(text=body)
    files = site.capture()
    point = site.bind()
    assert site.restored(point.backup.backup_id) == {"text": b"as of the m"}
    assert site.restored(files.backup.backup_id) == {"text": body}
    assert point.manifest.details["row_match"]["size_mismatch_count"] == 0


def test_without_versions_a_replaced_file_comes_from_the_backup_before(unversioned: RowsSite) -> None:
    site = unversioned
    site.add(text=b"of the moment")
    site.capture()
    site.dump()
    site.add(text=b"the replacement")
    site.capture()
    assert site.restored(site.bind().backup.backup_id) == {"text": b"of the moment"}


def test_a_row_that_is_committed_behind_its_file_gets_the_content_of_its_size(site: RowsSite) -> None:
    """The moment lies between the write of the file and the commit of its row: the row still means the old content."""
    site.add(text=b"old and long")
    site.capture()
    site.source.put("text", b"new", create_only=False)
    site.dump()
    site.rows["text"] = 3
    site.capture()
    assert site.restored(site.bind().backup.backup_id) == {"text": b"old and long"}


def test_a_row_that_has_been_wrong_for_long_gets_what_was_there_at_its_moment(site: RowsSite) -> None:
    site.add(text=b"old and long")
    site.capture()
    site.source.put("text", b"new", create_only=False)
    site.clock.move(hours=1)
    site.dump()
    site.capture()
    point = site.bind()
    assert point.manifest.details["row_match"]["size_mismatch_count"] == 1
    assert site.restored(point.backup.backup_id) == {"text": b"new"}


def test_a_file_that_came_after_the_dump_is_nothing_that_rows_mean(site: RowsSite) -> None:
    site.add(a=b"1")
    site.dump()
    site.add(later=b"22")
    files = site.capture()
    assert "files.kept" not in files.manifest.streams
    assert files.manifest.details["kept"]["wanted"] == 0


def test_what_is_left_out_on_purpose_is_not_kept(site: RowsSite) -> None:
    site.add(**{"a.tmp": b"1"})
    site.dump()
    site.drop("a.tmp")
    assert site.capture().manifest.details["kept"]["wanted"] == 0


def test_a_second_capture_for_the_same_dump_still_has_what_the_first_one_kept(unversioned: RowsSite) -> None:
    site = unversioned
    site.add(kept=b"stays", gone=b"deleted soon")
    site.capture()
    site.dump()
    site.drop("gone")
    site.capture()
    site.clock.move(minutes=5)
    again = site.capture()
    assert again.manifest.details["kept"]["from_backup"] == 1
    assert site.restored(site.bind().backup.backup_id) == {"kept": b"stays", "gone": b"deleted soon"}


def test_what_was_kept_for_another_dump_is_not_laid_over_a_point(site: RowsSite) -> None:
    site.add(a=b"1", b=b"22")
    site.capture()
    site.dump()
    site.drop("b")
    files = site.capture()
    point = site.bind()
    # The rows of a later moment no longer name it, and the same day's point that binds them does not bring it back.
    site.dump()
    later = site.capture()
    second = site.bind()
    assert later.manifest.details["kept"]["wanted"] == 0
    assert site.restored(second.backup.backup_id) == {"a": b"1"}
    assert site.restored(point.backup.backup_id) == {"a": b"1", "b": b"22"}
    assert files.backup.backup_id in point.backup.summary["member_ids"]


def test_versions_that_may_not_be_asked_for_leave_a_backup_that_says_so(site: RowsSite, monkeypatch) -> None:
    site.add(a=b"1")
    site.capture()
    site.add(brief=b"22")
    site.dump()
    site.drop("brief", "a")
    refused = AccessDenied("s3:ListBucketVersions is not allowed")

    def refuse(prefix: str = "") -> None:
        raise refused

    monkeypatch.setattr(site.source, "list_versions", refuse)
    files = site.capture()
    kept = files.manifest.details["kept"]
    assert (kept["from_backup"], kept["lost"]) == (1, 1)
    assert "s3:ListBucketVersions is not allowed" in kept["problem"]
    assert matched(site)["dangling"] == ["brief (row=brief)"]


def test_a_version_that_may_not_be_read_is_lost_and_fails_nothing(site: RowsSite, monkeypatch) -> None:
    site.capture()
    site.add(brief=b"22")
    site.dump()
    site.drop("brief")
    assert isinstance(site.source, Versioned)

    def refuse(key: str, *, version: str | None = None, **options: object) -> None:
        raise AccessDenied("s3:GetObjectVersion is not allowed", key=key)

    monkeypatch.setattr(site.source, "open", refuse)
    files = site.capture()
    assert files.backup.summary["partial"] is False
    assert files.manifest.details["kept"]["lost_sample"] == [["brief", "s3:GetObjectVersion is not allowed"]]


def test_rows_that_are_out_of_order_cost_only_what_would_have_been_kept(site: RowsSite) -> None:
    site.add(a=b"1", b=b"2")
    site.dump(in_order=False)
    files = site.capture()
    assert "not in byte order" in files.manifest.details["kept"]["problem"]


def test_many_wanted_files_cost_one_listing_of_versions(site: RowsSite, monkeypatch) -> None:
    monkeypatch.setattr("lc2_backup_dagster.engines.files.keeping.keep.ASKED_SINGLY", 2)
    bodies = {f"brief-{number}": b"x" * number for number in range(1, 6)}
    site.add(**bodies)
    site.dump()
    site.drop(*bodies)
    assert isinstance(site.source, Versioned)
    before = site.source.listed
    site.source.shuffled = True
    site.capture()
    assert site.source.listed == before + 1
    assert site.restored(site.bind().backup.backup_id) == bodies


def test_files_protected_by_the_store_are_copied_by_it(site: RowsSite) -> None:
    site.add(**{"public/a": b"1"})
    site.dump()
    site.drop("public/a")
    files = site.capture()
    assert files.backup.summary["sha256_pending"] == 1
    assert site.restored(site.bind().backup.backup_id) == {"public/a": b"1"}


def test_a_past_day_keeps_what_was_deleted_between_its_dump_and_its_end(site: RowsSite) -> None:
    site.add(a=b"1", b=b"22")
    site.capture()
    site.next_day()
    site.add(c=b"333")
    site.dump()
    site.drop("b", "c")
    missed = site.next_day()
    files = site.capture(missed)
    assert site.contents(files) == {"a": 1}
    point = bind_recovery_point(site.context, window=missed, initiator=TESTER)
    assert site.restored(point.backup.backup_id) == {"a": b"1", "b": b"22", "c": b"333"}


def test_a_plan_counts_what_was_kept(site: RowsSite) -> None:
    site.add(a=b"1", b=b"22")
    site.dump()
    site.drop("b")
    site.add(a=b"4444")
    site.capture()
    plan = site.restore_to(MemoryStore(), site.bind().backup.backup_id).plan
    assert plan.files is not None
    assert (plan.files.objects, plan.files.plain_bytes) == (2, 3)


def test_a_folder_that_is_removed_after_the_dump_comes_back_with_its_files(make_site: MakeSite) -> None:
    """On real directories, with the times of the files; the folder is made as it is needed."""
    tiny = make_site(own=True)
    day = open_window(WindowLength.DAILY)

    def capture(verb: Callable[..., Captured]) -> Captured:
        return verb(tiny.context, window=day, asked_at=datetime.now(UTC), initiator=TESTER)

    capture(capture_site_files)
    dump = capture(capture_database_dump)
    with row_references(tiny.repository, dump.manifest, is_selected=lambda key: True) as references:
        key = next(references).key
    folder = (tiny.library / key).parent
    removed = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    shutil.rmtree(folder)
    files = capture(capture_site_files)
    point = bind_recovery_point(tiny.context, window=day, initiator=TESTER)
    assert point.manifest.details["row_match"]["dangling_count"] == 0
    assert files.manifest.details["kept"]["from_backup"] == len(removed)

    wish = RestoreRequest(point.backup.backup_id, scope=RestoreScope.FILES, files_directory=tiny.root / "back")
    restore(tiny.context, wish, now=datetime.now(UTC), initiator=TESTER)
    back = (tiny.root / "back" / key).parent
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in back.iterdir()} == removed


class Sharded:
    """A site in shards, and the steps of its runs."""

    def __init__(self, scratch: Path) -> None:
        self.site = RowsSite(scratch, shards=("a/",), settings="as first written")

    def begin(self, ticket: str) -> None:
        begin_shards(
            self.site.context, window=self.site.today, asked_at=self.site.clock.now(), initiator=TESTER, ticket=ticket
        )
        for number in (0, 1):
            capture_shard(self.site.context, number, ticket=ticket, initiator=TESTER)

    def commit(self, ticket: str) -> Captured:
        return commit_shards(self.site.context, ticket=ticket, initiator=TESTER)


@pytest.fixture
def sharded(tmp_path: Path) -> Sharded:
    """Files of every kind are wanted, and all but the last step of a run is done."""
    sharded = Sharded(tmp_path)
    all_but_the_last_step(sharded)
    return sharded


def all_but_the_last_step(sharded: Sharded) -> None:
    site = sharded.site
    site.add(**{"a/held": b"1", "held": b"22", "stays": b"333"})
    sharded.begin("run-1")
    sharded.commit("run-1")
    site.add(**{"a/brief": b"4444", "brief": b"55555"})
    site.dump()
    site.drop("a/held", "held", "a/brief", "brief")
    sharded.begin("run-2")


ALL_OF_IT = {"a/held": b"1", "held": b"22", "stays": b"333", "a/brief": b"4444", "brief": b"55555"}


def test_shards_keep_the_same(sharded: Sharded) -> None:
    files = sharded.commit("run-2")
    kept = files.manifest.details["kept"]
    assert (kept["wanted"], kept["from_backup"], kept["from_versions"]) == (4, 2, 2)
    assert sharded.site.restored(sharded.site.bind().backup.backup_id) == ALL_OF_IT


@pytest.mark.parametrize("forgetful", [False, True], ids=["", "a version is gone by then"])
def test_a_last_step_that_died_at_any_write_is_run_again(tmp_path: Path, forgetful: bool) -> None:
    """Two tries may not find the same: what the first one wrote down counts, or nothing of it is in the way."""
    deaths, brief_was_kept = 0, 0
    while True:
        sharded = Sharded(tmp_path)
        all_but_the_last_step(sharded)
        site = sharded.site
        site.store.writes_left = deaths
        try:
            sharded.commit("run-2")
        except Killed:
            deaths += 1
        else:
            break
        site.store.revive()
        if forgetful:
            assert isinstance(site.source, Versioned)
            for each in site.source.versions_of("brief"):
                site.source.forget("brief", each.info.version or "")
        files = sharded.commit("run-2")
        assert len([name for name in files.manifest.streams if name.startswith("files.kept")]) == 1
        restored = site.restored(site.bind().backup.backup_id)
        brief_was_kept += "brief" in restored
        assert restored == {key: body for key, body in ALL_OF_IT.items() if key != "brief" or key in restored}
    assert deaths > 6
    assert brief_was_kept == deaths or (forgetful and 0 < brief_was_kept < deaths)
