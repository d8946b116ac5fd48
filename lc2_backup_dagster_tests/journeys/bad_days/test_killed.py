"""A process that dies at any step of a backup, and is run again: nothing half-done is believed, nothing stays.

KILL leaves no chance to clean up. TERM is what an orchestrator sends; a worker turns it into an exception.
"""

from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

import psutil
import pytest

from lc2_backup_dagster.clouds.store import PosixKind
from lc2_backup_dagster.engines.files.capture.journal import read_journals
from lc2_backup_dagster.model.errors import ConfigurationError, RecoveryPointNotFound
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.capture.files import file_entries
from lc2_backup_dagster.operations.verify.verify import verify_backup
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster_tests.journeys.bad_days.errand import Place
from lc2_backup_dagster_tests.operations.tiny_site import (
    TinySite,
    content_of,
    databases_of,
    drop_database,
    nothing_left_on,
    until,
)

BEGIN = [Place("put heartbeats/"), Place("put log/", 1)]
AFTER_COMMIT = Place("delete heartbeats/")
END = [Place(r"put backups/.*/manifest\.json"), Place("put log/", 2), AFTER_COMMIT]
STEPS = {
    Component.DATABASE: [
        Place("put lc2-repository"),
        Place("put keys/"),
        Place("put kit/", 2),
        *BEGIN,
        Place("put .*/base.tar/000000"),
        Place("put .*/base.tar/000005"),
        Place("put .*/base.index/"),
        *END,
    ],
    Component.DATABASE_DUMP: [
        *BEGIN,
        Place("put .*/file_references.jsonl/"),
        Place("put .*/dump.custom/"),
        Place("put .*/globals.sql/"),
        *END,
    ],
    Component.FILES: [
        *BEGIN,
        Place("put files/"),
        Place("put .*/journal/"),
        Place("put files/", 4),
        Place("copy files/", 5),
        Place("put backups/.*/files/000000"),
        *END,
    ],
    Component.RECOVERY_POINT: [*BEGIN, *END],
}
ENDINGS = pytest.mark.parametrize("ending", [SIGKILL, SIGTERM], ids=["KILL", "TERM"])


def listed(site: TinySite, component: Component) -> list[CommittedBackup]:
    try:
        return site.repository.backups(component)
    except (RecoveryPointNotFound, ConfigurationError):  # killed before the repository, or its key, was made
        return []


@ENDINGS
@pytest.mark.parametrize("component", STEPS, ids=str)
def test_a_backup_that_dies_at_every_step_is_never_listed_and_succeeds_when_run_again(
    component, ending, site, run, postgres
):
    if component is Component.RECOVERY_POINT:
        assert [run(site, verb).code for verb in ("database_dump", "files")] == [0, 0]
    # One after the other: what is left to do after some deaths must not depend on how busy the machine is.
    site = site.changed(site.root, files__maxConcurrency=1)
    for place in STEPS[component]:
        ended = run(site, component.value, die_at=place, signal=ending)
        if ending == SIGKILL:
            assert (ended.code, ended.told) == (-SIGKILL, {}), place
        else:
            assert ended.told["error"] == "KeyboardInterrupt", place
            assert content_of(site.scratch) == {}, place
        assert len(listed(site, component)) == (place == AFTER_COMMIT), place
        nothing_left_on(postgres)
        if ending == SIGTERM and place not in STEPS[Component.DATABASE][:3]:
            # Whoever could clean up has said so in the log: the next one need not wait for a silent heartbeat.
            assert site.repository.log.history().running == {}, place

    again = run(site, component.value)
    assert again.code == 0, again.told
    backup = listed(site, component)[-1]
    assert backup.backup_id == again.told["backup_id"]
    assert not any(each.damages for each in verify_backup(site.context, backup.backup_id))
    history = site.repository.log.history()
    assert history.running == {}
    superseded = [reason for reason in history.ended_by.values() if reason.startswith("superseded by")]
    # All that were killed between their begin and their commit.
    dead = len([place for place in STEPS[component] if place in END[:2] or place not in STEPS[Component.DATABASE][:5]])
    assert len(superseded) == (dead - 1 if ending == SIGKILL else 0)
    assert content_of(site.scratch) == {}
    assert not [path for path in site.scratch.rglob("*") if path.name.count(".") == 2]


def test_parts_of_two_attempts_are_never_combined(site, run):
    dead = run(site, "database", die_at=Place("put .*/base.index/"))
    assert dead.code == -SIGKILL
    folders = {path.name for path in (site.bucket / "backups/retail/liferay/database").iterdir()}
    again = run(site, "database")
    backup = again.told["backup_id"]
    assert backup not in folders
    parts = {call.split(" ")[1] for call in again.calls if call.startswith("put backups/")}
    manifest = site.repository.manifest(backup)
    wanted = {
        f"backups/retail/liferay/database/{backup}/{stream}/{number:06d}"
        for stream, listed_parts in manifest.streams.items()
        for number in range(len(listed_parts))
    }
    assert parts == wanted | {f"backups/retail/liferay/database/{backup}/manifest.json"}


def test_what_a_killed_process_left_on_local_disk_is_removed_by_the_next_run(site, run):
    run(site, "database", die_at=Place("put .*/base.index/"))
    left = content_of(site.scratch)
    assert any("lc2-basebackup-" in name for name in left)
    assert run(site, "database").code == 0
    assert content_of(site.scratch) == {}


@ENDINGS
def test_files_go_on_where_they_were_and_what_was_copied_is_not_copied_again(site, run, ending):
    dead = run(site, "files", die_at=Place("copy files/", 15), signal=ending)
    assert dead.code != 0
    repository = site.repository
    history = repository.log.history()
    [attempt] = [*history.running, *(each.attempt_id for each in history.ended)]
    with read_journals(repository, [attempt], scratch=None) as finished:
        done = {entry.key: entry for entry in finished.entries()}
    assert len(done) >= 4

    again = run(site, "files")
    assert again.code == 0
    backup = site.repository.backup(again.told["backup_id"])
    assert backup.summary["resumed"] == len(done)
    with file_entries(site.repository, backup.backup_id) as found:
        entries = {entry.key: entry for entry in found if entry.kind is PosixKind.FILE}
    assert len(entries) == backup.summary["objects"] == backup.summary["added"]
    assert all(entries[key].location == entry.location for key, entry in done.items())
    kept = {key for entry in done.values() for key, _ in entry.stored_objects(repository.site)}
    written = {call.split(" ")[1] for call in again.calls if call.startswith(("put files/", "copy files/"))}
    assert written
    assert not written & kept
    needed = {key for entry in entries.values() for key, _ in entry.stored_objects(repository.site)}
    assert needed == written | kept
    assert backup.summary["copied_bytes"] == sum(entry.size_bytes for key, entry in entries.items() if key not in done)
    assert [each.damages for each in verify_backup(site.context, backup.backup_id)] == [()]


def test_a_run_that_is_killed_again_and_again_keeps_the_work_of_all(site, run):
    for _ in range(3):
        assert run(site, "files", die_at=Place("(put|copy) files/", 16)).code == -SIGKILL
    repository = site.repository
    history = repository.log.history()
    attempts = [*(each.attempt_id for each in history.ended), *history.running]
    assert len(attempts) == 3
    with read_journals(repository, attempts, scratch=None) as finished:
        done = {entry.key for entry in finished.entries()}
    again = run(site, "files")
    summary = site.repository.backup(again.told["backup_id"]).summary
    assert summary["resumed"] == len(done) > 0
    assert summary["resumed"] < summary["objects"]
    assert not any(each.damages for each in verify_backup(site.context, again.told["backup_id"]))


def test_a_process_that_was_frozen_past_its_lease_finds_its_commit_refused(site, start, run):
    frozen = start(site, "database_dump", die_at=Place(r"put backups/.*/manifest\.json"), signal=SIGSTOP)
    process = psutil.Process(frozen.process.pid)
    until(lambda: process.status() == psutil.STATUS_STOPPED, what="the process is frozen")
    newer = run(site, "database_dump", actor="the newer one")
    assert newer.code == 0
    frozen.send(SIGCONT)
    ended = frozen.end()
    assert ended.told["error"] == "Fenced"
    assert "superseded by" in ended.told["message"]
    assert "the newer one" in ended.told["message"]
    assert [each.backup_id for each in site.repository.backups()] == [newer.told["backup_id"]]


def test_a_restore_that_was_killed_leaves_no_database_under_the_name_and_the_next_one_cleans_up(
    backed_up, tmp_path, run, postgres
):
    site = backed_up.site.copied(tmp_path / "copy")
    wanted = (backed_up.dump.backup.backup_id, "tiny_killed")
    before = databases_of(postgres)
    try:
        dead = run(site, "restore", argument=wanted, die_at=Place("get .*/dump.custom/"))
        assert dead.code == -SIGKILL
        [left] = databases_of(postgres) - before
        assert left.startswith("tiny_killed_lc2_")
        nothing_left_on(postgres)
        again = run(site, "restore", argument=wanted)
        assert again.code == 0, again.told
        assert databases_of(postgres) - before == {"tiny_killed"}
        assert content_of(site.scratch) == {}
    finally:
        for name in databases_of(postgres) - before:
            drop_database(postgres, name)
