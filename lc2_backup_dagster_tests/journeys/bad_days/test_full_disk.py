"""No space left: in scratch, in a repository that is a directory, in the target of a restore."""

import shutil
import subprocess
from datetime import UTC, datetime

import pytest

from lc2_backup_dagster.model.errors import StorageFull
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.database import capture_database
from lc2_backup_dagster.operations.capture.files import capture_site_files
from lc2_backup_dagster.operations.restore.request import RestoreRequest, RestoreScope
from lc2_backup_dagster.operations.restore.run import restore
from lc2_backup_dagster.operations.verify.verify import verify_backup
from lc2_backup_dagster.repository import lease
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.tiny_site import (
    MIB,
    content_of,
    databases_of,
    drop_database,
    nothing_left_on,
    open_window,
)


class TinyDisk:
    """A file system of its own that can be made larger."""

    def __init__(self, place) -> None:
        self.place = place

    def grow(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.place)], check=True, capture_output=True)


@pytest.fixture
def tiny_disk(tmp_path):
    """Return ``tiny_disk(size)``; skips loudly where this machine lets nobody mount."""
    places = []

    def mount(size: str) -> TinyDisk:
        place = tmp_path / f"disk-{len(places)}"
        place.mkdir()
        options = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        done = subprocess.run(options, check=False, capture_output=True, text=True) if shutil.which("mount") else None
        if done is None or done.returncode != 0:
            reason = done.stderr.strip() if done else "there is no 'mount'"
            pytest.skip(f"FULL DISKS ARE NOT TESTED HERE: a tmpfs cannot be mounted ({reason}); run as root")
        places.append(place)
        return TinyDisk(place)

    yield mount
    for place in places:
        subprocess.run(["umount", "--lazy", str(place)], check=True, capture_output=True)


@pytest.fixture
def short_lease(monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1.0)


def base(site):
    return capture_database(
        site.context, window=open_window(WindowLength.HOURLY), asked_at=datetime.now(UTC), initiator=TESTER
    )


def files(site):
    return capture_site_files(
        site.context, window=open_window(WindowLength.DAILY), asked_at=datetime.now(UTC), initiator=TESTER
    )


def test_a_full_scratch_ends_the_base_backup_names_the_place_and_leaves_nothing(make_site, tiny_disk, postgres):
    disk = tiny_disk("64k")
    site = make_site(database__scratchDirectory=str(disk.place))
    with pytest.raises(StorageFull, match=f"{disk.place}.* bytes free, a base backup's index and manifest may need"):
        base(site)
    assert site.repository.backups() == []
    assert site.repository.log.history().running == {}
    assert content_of(disk.place) == {}
    nothing_left_on(postgres)
    disk.grow("96m")
    backup = base(site).backup.backup_id
    assert not any(each.damages for each in verify_backup(site.context, backup))


def test_a_full_repository_takes_no_backup_and_goes_on_when_there_is_room(make_site, tiny_disk, short_lease):
    disk = tiny_disk("6m")
    site = make_site(destination__store__path=str(disk.place))
    with pytest.raises(StorageFull, match="No space left") as refusal:
        files(site)
    assert "free space" in str(refusal.value.hint)
    assert site.repository.backups() == []
    assert not [name for name in content_of(disk.place) if name.startswith(".lc2-staging/")]
    disk.grow("64m")
    captured = files(site)
    assert not any(each.damages for each in verify_backup(site.context, captured.backup.backup_id))


def test_a_restore_with_little_scratch_streams_instead_of_copying(backed_up, tmp_path, tiny_disk, postgres):
    disk = tiny_disk("64k")
    site = backed_up.site.copied(tmp_path / "copy")
    site = site.changed(site.root, database__scratchDirectory=str(disk.place))
    try:
        restored = restore(
            site.context,
            RestoreRequest(backed_up.dump.backup.backup_id, target_database="tiny_streamed", jobs=4),
            now=datetime.now(UTC),
            initiator=TESTER,
        )
        assert restored.database.jobs == 1
        assert restored.database.tables == backed_up.dump.manifest.details["tables"]
        assert "tiny_streamed" in databases_of(postgres)
    finally:
        drop_database(postgres, "tiny_streamed")


def test_a_full_target_keeps_whole_files_only(backed_up, tmp_path, tiny_disk):
    disk = tiny_disk("4m")
    site = backed_up.site.copied(tmp_path / "copy")
    request = RestoreRequest(
        backed_up.files.backup.backup_id,
        scope=RestoreScope.FILES,
        files_bucket=str(disk.place),
        files_prefix="library/",
    )
    with pytest.raises(StorageFull, match="No space left"):
        restore(site.context, request, now=datetime.now(UTC), initiator=TESTER)
    written = content_of(disk.place)
    assert 0 < sum(map(len, written.values())) < 4 * MIB
    for name, body in written.items():
        assert body == (site.library / name.removeprefix("library/")).read_bytes()
    assert list(site.repository.log.records())[-1].body["result"] == "failed"
