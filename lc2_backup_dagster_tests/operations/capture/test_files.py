"""Files: full once, then only what changed, and what could not be read is said."""

import os
import random
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.clouds.store import PosixKind
from lc2_backup_dagster.demo.seed.liferay_changes import make_changes
from lc2_backup_dagster.engines.files.manifest.entry import Bundled, Copied, Parts
from lc2_backup_dagster.model.errors import AccessDenied, BackupPartial
from lc2_backup_dagster.model.site import BackupKind
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.files import capture_site_files, file_entries
from lc2_backup_dagster.operations.checks import files_complete
from lc2_backup_dagster.operations.restore.request import RestoreRequest
from lc2_backup_dagster.operations.restore.run import restore
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.tiny_site import (
    OWNER,
    OWNER_PASSWORD,
    SEALED_ALONE,
    STORE_PREFIX,
    open_window,
    picture_of,
)
from lc2_backup_dagster_tests.trees import facts_of_tree


def capture(context):
    return capture_site_files(
        context, window=open_window(WindowLength.DAILY), asked_at=datetime.now(UTC), initiator=TESTER
    )


def entries_of(site, captured):
    with file_entries(site.repository, captured.backup.backup_id) as entries:
        return {entry.key: entry for entry in entries if entry.kind is PosixKind.FILE}


def contents(site):
    return {key: facts for key, facts in picture_of(site.bucket).items() if key.startswith("files/")}


def test_the_first_backup_is_full_and_has_every_file_but_generated_ones(backed_up):
    full = backed_up.full
    assert (full.backup.kind, full.backup.parent, full.manifest.bases) == (BackupKind.FULL, None, [])
    summary = full.backup.summary
    assert summary["objects"] == summary["added"] == summary["changed_objects"]
    assert summary["copied_bytes"] == summary["logical_bytes"]
    assert summary["excluded"] > 0
    entries = entries_of(backed_up.site, full)
    assert len(entries) == summary["objects"]
    assert not [key for key in entries if "/.cache/" in key or "/0/document_thumbnail/" in key]


def test_every_way_of_storing_a_file_is_met(backed_up):
    entries = entries_of(backed_up.site, backed_up.full)
    kinds = {key: type(entry.location) for key, entry in entries.items()}
    assert all((kind is Copied) == key.startswith(STORE_PREFIX) for key, kind in kinds.items())
    assert kinds[SEALED_ALONE] is Parts
    assert len(entries[SEALED_ALONE].location.parts) == 1
    large = next(entry for entry in entries.values() if isinstance(entry.location, Parts) and entry.size_bytes > 9e6)
    assert len(large.location.parts) == 2
    assert Bundled in kinds.values()


def test_the_second_backup_is_an_increment_that_moves_only_what_changed(backed_up):
    full, files, changes = backed_up.full, backed_up.files, backed_up.changes
    assert files.backup.kind is BackupKind.INCREMENTAL
    assert files.backup.parent == full.backup.backup_id
    assert files.manifest.bases == [full.backup.backup_id]
    before, after = entries_of(backed_up.site, full), entries_of(backed_up.site, files)
    new = [key for key in (*changes.added, *changes.replaced) if "/0/" not in key]
    gone = [key for key in changes.deleted if key in before]
    assert sorted(after.keys() - before.keys()) == sorted(new)
    assert sorted(before.keys() - after.keys()) == sorted(gone)
    summary = files.backup.summary
    assert summary["added"] == len(new)
    assert summary["removed"] == len(gone)
    assert summary["unchanged"] == len(after) - len(new)
    assert summary["copied_bytes"] == sum(after[key].size_bytes for key in new)
    # An unchanged file stays where the backup before put it.
    assert all(after[key].location == before[key].location for key in before.keys() & after.keys())


def test_when_nothing_changed_nothing_is_stored_but_the_list(make_site):
    site = make_site(own=True)
    first = capture(site.context)
    before = contents(site)
    second = capture(site.context)
    assert contents(site) == before
    assert (second.backup.kind, second.backup.parent) == (BackupKind.INCREMENTAL, first.backup.backup_id)
    assert second.backup.summary["copied_bytes"] == second.backup.summary["changed_objects"] == 0
    assert second.backup.summary["logical_bytes"] == first.backup.summary["logical_bytes"]


def test_increments_stand_on_increments(make_site, postgres):
    site = make_site(own=True)
    parents = [capture(site.context).backup.backup_id]
    owner = postgres.server(site.values["database"]["name"], user=OWNER, password=OWNER_PASSWORD)
    for seed in (1, 2):
        with owner.connect() as connection:
            make_changes(connection, DirectoryStore(site.library), random=random.Random(seed))
        captured = capture(site.context)
        assert (captured.backup.kind, captured.backup.parent) == (BackupKind.INCREMENTAL, parents[-1])
        parents.append(captured.backup.backup_id)


def test_another_source_is_captured_full_because_it_shares_nothing(make_site, tmp_path):
    site = make_site(own=True)
    capture(site.context)
    (site.root / "moved").symlink_to(site.library)
    moved = site.changed(site.root, files__source__store__path=str(site.root / "moved"))
    captured = capture(moved.context)
    assert (captured.backup.kind, captured.backup.parent) == (BackupKind.FULL, None)
    assert captured.backup.summary["copied_bytes"] == captured.backup.summary["logical_bytes"]


class Refusing(DirectoryStore):
    """Does not let one file be read."""

    refused = ""

    @contextmanager
    def open(self, key, **conditions):
        if key == self.refused:
            raise AccessDenied(f"read '{key}': permission denied", key=key)
        with super().open(key, **conditions) as reader:
            yield reader


def test_a_file_that_cannot_be_read_makes_the_backup_partial_and_is_named(site):
    store = Refusing(site.library)
    store.refused = SEALED_ALONE
    context = site.context
    with pytest.raises(BackupPartial, match=rf"1 files .* could not be read: {SEALED_ALONE}") as refusal:
        capture(replace(context, library=replace(context.files, store=store)))
    repository = site.repository
    backup = repository.backup(str(refusal.value.attributes["backup_id"]))
    manifest = repository.manifest(backup.backup_id)
    assert backup.summary["partial"] is True
    assert backup.summary["unreadable"] == 1
    assert manifest.details["unreadable"][0][0] == SEALED_ALONE
    captured = Captured(backup, manifest, open_window(WindowLength.DAILY))
    outcome = files_complete(captured)
    assert not outcome.passed
    assert "PARTIAL" in outcome.message
    kept = entries_of(site, captured)
    assert len(kept) == backup.summary["objects"] > 50
    assert SEALED_ALONE not in kept


def test_a_library_in_a_directory_comes_back_as_a_tree_and_what_it_cannot_hold_is_named(make_site):
    site = make_site(own=True)
    (site.library / "20097/way").symlink_to("20121/")
    (site.library / "20097/empty").mkdir(mode=0o2750)
    (site.library / "20097/private").write_bytes(b"x")
    (site.library / "20097/private").chmod(0o600)
    os.mkfifo(site.library / "20097/pipe")

    captured = capture(site.context)

    assert captured.manifest.details["special"] == [["20097/pipe", "a pipe, socket or device"]]
    summary = captured.backup.summary
    assert (summary["special"], summary["links"]) == (1, 1)
    assert summary["folders"] > 1
    assert summary["objects"] + summary["links"] == summary["added"]
    outcome = files_complete(captured)
    assert outcome.passed
    assert "1 pipes, sockets and devices" in outcome.message
    assert outcome.facts["special_sample"] == [["20097/pipe", "a pipe, socket or device"]]
    request = RestoreRequest(captured.backup.backup_id, files_prefix="back/", globs=("20097/*",))
    restored = restore(site.context, request, now=datetime.now(UTC), initiator=TESTER)
    assert restored.files is not None
    assert restored.files.links == 1
    expected = facts_of_tree(site.library)
    found = facts_of_tree(site.restored / "back")
    assert {key: expected[key] for key in found} == found
    assert {"20097", "20097/way", "20097/empty", "20097/private"} <= found.keys()
    request = RestoreRequest(captured.backup.backup_id, files_prefix="alone/", globs=("20097/empty/",))
    alone = restore(site.context, request, now=datetime.now(UTC), initiator=TESTER)
    assert alone.plan.files is not None
    assert alone.plan.files.objects == 0
    assert facts_of_tree(site.restored / "alone").keys() == {"20097", "20097/empty"}
    (site.library / "20097/private").chmod(0o640)
    again = capture(site.context).backup.summary
    assert (again["facts_changed"], again["changed_objects"], again["copied_bytes"]) == (1, 1, 0)
