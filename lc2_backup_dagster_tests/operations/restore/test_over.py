"""Restores over what is there: confirmed by name, only what differs, deleting last and only when told."""

from datetime import UTC, datetime
from io import BytesIO

import pytest

from lc2_backup_dagster.clouds.prefixed import PrefixedStore
from lc2_backup_dagster.engines.files.manifest.entry import STREAM, encode_entries
from lc2_backup_dagster.engines.files.restore.writing import Conflict
from lc2_backup_dagster.model.errors import TargetNotEmpty
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.files import capture_site_files, file_entries
from lc2_backup_dagster.operations.restore.plan_restore import plan_restore
from lc2_backup_dagster.operations.restore.request import RestoreRequest, RestoreScope
from lc2_backup_dagster.operations.restore.run import StepDone, restore
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER, a_draft
from lc2_backup_dagster_tests.operations.tiny_site import (
    SEALED_ALONE,
    STORE_PREFIX,
    content_of,
    open_window,
    picture_of,
)

GENERATED = f"{STORE_PREFIX}.cache/7.bin"


@pytest.fixture
def site(backed_up, tmp_path):
    return backed_up.site.copied(tmp_path)


@pytest.fixture
def over(site, backed_up):
    """A request that sets ``over/`` back to the point; everything of it is there, with a few changes."""
    request = {"backup_id": backed_up.point.backup.backup_id, "scope": RestoreScope.FILES, "files_prefix": "over/"}
    run(site, **request)
    folder = site.restored / "over"
    (folder / SEALED_ALONE).write_text("changed")
    (folder / "extra").write_text("not in the backup")
    generated = folder / GENERATED
    generated.parent.mkdir(parents=True)
    generated.write_text("generated")
    assert not site.context.files.is_selected(GENERATED)
    return {**request, "conflict": Conflict.OVERWRITE, "checksum": True}


def run(site, **request):
    return restore(site.context, RestoreRequest(**request), now=datetime.now(UTC), initiator=TESTER)


def name_of(site) -> str:
    return f"{site.restored}/over/"


def plan(site, **request):
    return plan_restore(site.context, RestoreRequest(**request), now=datetime.now(UTC))


@pytest.mark.parametrize("confirm", [None, "", "over/", "somewhere/over/"])
def test_nothing_is_lost_at_a_target_that_nobody_has_named(site, over, confirm):
    before = picture_of(site.restored)
    with pytest.raises(TargetNotEmpty, match="would be overwritten or deleted") as refusal:
        run(site, **over, confirm=confirm)
    assert f"confirm '{name_of(site)}'" in refusal.value.message
    assert picture_of(site.restored) == before


def test_a_dry_run_foretells_what_is_then_done(site, over, backed_up):
    request = {**over, "delete_extra": True}
    before = picture_of(site.restored)
    forecast = run(site, **request, dry_run=True).plan.files.forecast
    assert picture_of(site.restored) == before

    done = run(site, **request, confirm=name_of(site)).files

    pending = backed_up.files.backup.summary["sha256_pending"]
    assert (done.written, done.overwritten, done.deleted.count) == (1 + pending, 1 + pending, 1)
    assert (forecast.written, forecast.written_bytes, forecast.overwritten, forecast.kept) == (
        done.written, done.written_bytes, done.overwritten, done.kept,
    )  # fmt: skip
    assert (forecast.deleted, forecast.deleted_bytes, forecast.deleted_first) == (1, 17, ("extra",))
    left = content_of(site.restored / "over")
    assert left.pop(GENERATED) == b"generated"
    assert left == {key: (site.library / key).read_bytes() for key in left}
    assert len(left) == backed_up.files.backup.summary["objects"]
    [*_, record] = [each.body for each in site.repository.log.records() if each.type is RecordType.RESTORE]
    assert (record["conflict"], record["delete_extra"], record["deleted"]) == ("overwrite", True, 1)


def test_a_partial_backup_deletes_nothing(site, over):
    repository = site.repository
    with file_entries(repository, repository.backups(Component.FILES)[-1].backup_id) as entries:
        lines = encode_entries(list(entries)[1:])
    with repository.begin(Component.FILES, window=None, initiator=TESTER) as attempt:
        stream = attempt.write_stream(STREAM, BytesIO(lines))
        backup = attempt.commit(a_draft(streams=(stream,), window=None, summary={"partial": True, "unreadable": 1}))
    request = {**over, "backup_id": backup.backup_id, "delete_extra": True}
    for dry_run in (True, False):
        assert "is partial" in plan(site, **request, dry_run=dry_run).blockers[0]
    before = picture_of(site.restored)
    with pytest.raises(TargetNotEmpty, match="is partial"):
        run(site, **request, confirm=name_of(site))
    assert picture_of(site.restored) == before


@pytest.mark.parametrize("inside", ["", "backups", "lc2"])
def test_nothing_is_overwritten_where_backups_lie(site, over, inside):
    folder = site.bucket / inside
    folder.mkdir(exist_ok=True)
    request = {**over, "files_prefix": None, "files_directory": folder}
    before = picture_of(site.bucket)
    with pytest.raises(TargetNotEmpty, match="lie in each other"):
        run(site, **request, confirm=str(folder))
    assert picture_of(site.bucket) == before
    above = plan(site, **{**request, "files_directory": site.bucket.parent})
    assert "lie in each other" in " ".join(above.blockers)


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ({"keys": (SEALED_ALONE, "lc2-demo-seed.json")}, lambda key: key in (SEALED_ALONE, "lc2-demo-seed.json")),
        ({"below": STORE_PREFIX}, lambda key: key.startswith(STORE_PREFIX)),
        (
            {"below": STORE_PREFIX, "globs": ("*/1.0",)},
            lambda key: key.startswith(STORE_PREFIX) and key.endswith("/1.0"),
        ),
    ],
)
def test_keys_and_prefixes_choose_files(site, backed_up, tmp_path, choice, wanted):
    request = {"backup_id": backed_up.files.backup.backup_id, "files_directory": tmp_path / "chosen", **choice}
    planned = plan(site, **request)
    assert not (tmp_path / "chosen").exists()
    restored = run(site, **request)
    context = site.context
    expected = {
        key: body for key, body in content_of(site.library).items() if wanted(key) and context.files.is_selected(key)
    }
    assert content_of(tmp_path / "chosen") == expected
    assert planned.files.objects == restored.files.written == len(expected)
    assert planned.files.plain_bytes == sum(map(len, expected.values()))


def test_files_that_stay_count_as_done(site, backed_up):
    request = {"backup_id": backed_up.files.backup.backup_id, "files_prefix": "again/"}
    run(site, **request)
    steps: list[StepDone] = []
    restored = restore(
        site.context,
        RestoreRequest(**request, conflict=Conflict.SKIP, globs=("*",)),
        now=datetime.now(UTC),
        initiator=TESTER,
        progress=steps.append,
    )
    assert (restored.files.written, restored.files.kept) == (0, restored.plan.files.objects)
    assert restored.files.kept_bytes == restored.plan.files.plain_bytes


def test_in_buckets_a_library_is_set_back_in_place(make_s3_site):
    """The source itself is the target: what was not written since is not even asked about."""
    site = make_s3_site()
    context = site.context
    day = open_window(WindowLength.DAILY)
    backup = capture_site_files(context, window=day, asked_at=datetime.now(UTC), initiator=TESTER).backup
    bucket = site.values["restore"]["files"]["store"]["bucket"]
    first = {"backup_id": backup.backup_id, "files_prefix": "copy/"}
    run(site, **first)
    target = context.restore.open_files_target(None, "copy/")
    target.put(SEALED_ALONE, b"changed", create_only=False)
    target.put("extra", b"x")
    request = {**first, "conflict": Conflict.OVERWRITE, "delete_extra": True}

    forecast = plan(site, **request, dry_run=True).files.forecast
    done = run(site, **request, confirm=f"{bucket}/copy/").files

    assert (done.overwritten, done.deleted.count) == (forecast.overwritten, forecast.deleted)
    assert done.deleted.count == 1
    # Etags of the same store: only what was sent in several parts has others than its source.
    assert done.kept > backup.summary["objects"] / 2
    source = context.files.store
    assert {info.key: info.size_bytes for info in target.list()} == {
        info.key: info.size_bytes for info in source.list() if context.files.is_selected(info.key)
    }
    assert target.get(SEALED_ALONE) == source.get(SEALED_ALONE)
    assert isinstance(target, PrefixedStore)
