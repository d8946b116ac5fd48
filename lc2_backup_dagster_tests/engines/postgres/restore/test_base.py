"""What restoring a base backup refuses, and what it leaves behind when it fails."""

import io
import os
import tarfile

import pytest

from lc2_backup_dagster.engines.postgres.base.capture import capture_base_backup
from lc2_backup_dagster.engines.postgres.base.stream_names import MANIFEST_STREAM, TAR_STREAM
from lc2_backup_dagster.engines.postgres.restore.base import StoredBase, restore_base, restore_chain
from lc2_backup_dagster.engines.postgres.restore.settled import recover_at_first_start, settle
from lc2_backup_dagster.engines.postgres.restore.verify_base import verify_directory
from lc2_backup_dagster.model.errors import (
    ConfigurationError,
    IntegrityError,
    PartCorrupt,
    RestoreMismatch,
    StorageFull,
    TargetNotEmpty,
)
from lc2_backup_dagster_tests.engines.postgres.collected import FileStreams
from lc2_backup_dagster_tests.fixtures_postgres import backup_server


@pytest.fixture(scope="module")
def base(postgres, tmp_path_factory):
    streams = FileStreams(tmp_path_factory.mktemp("base"))
    capture_base_backup(backup_server(postgres), write=streams, scratch=tmp_path_factory.mktemp("scratch"))
    return streams


def restored(base, target, **options):
    with base.open(TAR_STREAM) as file, base.open(MANIFEST_STREAM) as manifest:
        return restore_base(file, manifest=manifest, target_directory=target, **options)


def a_tar(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    target.seek(0)
    return target


def a_file(name: str, content: bytes = b"17\n"):
    return tarfile.TarInfo(name), content


def a_link(name: str):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info, b""


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "a//evil"])
def test_a_path_that_leads_out_is_refused(name, tmp_path):
    with pytest.raises(IntegrityError, match="leads out"):
        restore_base(a_tar(a_file(name)), target_directory=tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_links_are_refused(tmp_path):
    with pytest.raises(IntegrityError, match="link or device"):
        restore_base(a_tar(a_link("PG_VERSION")), target_directory=tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_one_name_twice_is_refused(tmp_path):
    with pytest.raises(IntegrityError, match="do not fit together"):
        restore_base(a_tar(a_file("PG_VERSION"), a_file("PG_VERSION")), target_directory=tmp_path / "data")


def test_a_tar_that_is_no_base_backup_is_refused(tmp_path):
    with pytest.raises(IntegrityError, match="not a base backup"):
        restore_base(a_tar(a_file("PG_VERSION")), target_directory=tmp_path / "data")


def test_what_the_first_start_must_find_is_there_before_a_server_can_start(base, tmp_path):
    """And ``pg_verifybackup``, which runs afterwards, has nothing against it."""

    def prepare(directory):
        assert (directory / "PG_VERSION").exists()
        assert not (directory / "global/pg_control").exists()
        settle(directory)
        recover_at_first_start(directory, {2: b"# taken\n"})

    streams = {name: base.path(name).stat().st_size for name in (TAR_STREAM, MANIFEST_STREAM)}
    result = restore_chain(
        [StoredBase("base", streams, base.open)], target_directory=tmp_path / "data", before_control=prepare
    )
    assert result.verified is not None
    assert (tmp_path / "data/global/pg_control").exists()
    assert (tmp_path / "data/recovery.signal").exists()
    assert (tmp_path / "data/pg_wal/00000002.history").read_bytes() == b"# taken\n"
    settings = (tmp_path / "data/postgresql.auto.conf").read_text()
    assert settings.rindex("restore_command = 'false'") > settings.rindex("restore_command = ''")


def test_a_directory_that_holds_something_is_refused_and_untouched(tmp_path):
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(TargetNotEmpty, match="not empty"):
        restore_base(io.BytesIO(), target_directory=tmp_path)
    assert (tmp_path / "precious").read_text() == "mine"


def test_links_mount_points_and_files_are_refused_as_targets(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    for target, reason in (("link", "symbolic link"), ("file", "not a directory"), ("/proc", "mount point")):
        with pytest.raises(TargetNotEmpty, match=reason):
            restore_base(io.BytesIO(), target_directory=tmp_path / target)
    with pytest.raises(ConfigurationError, match="no directory"):
        restore_base(io.BytesIO(), target_directory=tmp_path / "absent" / "data")


def test_too_little_space_is_noticed_before_anything_is_written(tmp_path):
    with pytest.raises(StorageFull, match="bytes free"):
        restore_base(io.BytesIO(), target_directory=tmp_path / "data", tar_bytes=1 << 60)
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_breaks_leaves_nothing_behind(base, tmp_path):
    class Breaking:
        def __init__(self, file):
            self.file, self.left = file, 2

        def read(self, size, /):
            self.left -= 1
            if not self.left:
                raise PartCorrupt("part 7 is damaged")
            return self.file.read(size)

    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        with base.open(TAR_STREAM) as file, pytest.raises(PartCorrupt):
            restore_base(Breaking(file), target_directory=tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    assert not any((tmp_path / "empty").iterdir())


def test_the_control_file_appears_last(base, tmp_path):
    """Killed at any time before the end, the directory has no global/pg_control."""
    seen = []

    def look(done, total):
        seen.append((tmp_path / "data/global/pg_control").exists())

    restored(base, tmp_path / "data", verify=False, on_progress=look)
    assert seen
    assert not any(seen)
    assert (tmp_path / "data/global/pg_control").stat().st_size == 8192
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert not list((tmp_path / "data").rglob("*lc2-unfinished*"))


@pytest.mark.parametrize("with_tool", [True, False])
@pytest.mark.parametrize("damage", ["content", "missing", "extra", "longer"])
def test_verification_names_what_differs(damage, with_tool, base, tmp_path, monkeypatch):
    restored(base, tmp_path / "data", verify=False, durable=False)
    victim = next(path for path in sorted((tmp_path / "data/base/1").iterdir()) if path.stat().st_size >= 8192)
    name = victim.relative_to(tmp_path / "data")
    if damage == "content":
        with victim.open("r+b") as file:
            file.seek(5000)
            file.write(b"\xff\x00flipped")
    elif damage == "missing":
        victim.unlink()
    elif damage == "extra":
        name = "extra" if with_tool else "1 files that its manifest does not list"
        (tmp_path / "data/extra").touch()
    else:
        with victim.open("ab") as file:
            file.write(b"x")
    if not with_tool:
        monkeypatch.setenv("PATH", "/nonexistent")
        monkeypatch.setattr("lc2_backup_dagster.engines.postgres.servers.tools._WHEELS", ())
    with pytest.raises(RestoreMismatch, match=str(name)):
        verify_directory(tmp_path / "data", major=17)


def test_without_the_tool_the_files_are_compared_here(base, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("lc2_backup_dagster.engines.postgres.servers.tools._WHEELS", ())
    verified = restored(base, tmp_path / "data").verified
    assert (verified.by, verified.wal_parsed) == ("lc2-backup", False)
    assert os.environ["PATH"] == "/nonexistent"


def test_content_that_the_manifest_does_not_promise_is_refused_while_it_passes_by(base, tmp_path):
    tar = bytearray(base.path(TAR_STREAM).read_bytes())
    with tarfile.open(base.path(TAR_STREAM)) as archive:
        victim = next(each for each in archive if each.name.startswith("base/1/") and each.size >= 8192)
    tar[victim.offset_data + 100] ^= 1
    with base.open(MANIFEST_STREAM) as manifest, pytest.raises(IntegrityError, match=victim.name):
        restore_base(io.BytesIO(tar), manifest=manifest, target_directory=tmp_path / "data", verify=False)
    assert list(tmp_path.iterdir()) == []


def test_a_tar_that_lacks_a_promised_file_is_refused(base, tmp_path):
    """The last block of a tar is cut off behind one member and the archive ended there."""
    tar = base.path(TAR_STREAM).read_bytes()
    with tarfile.open(base.path(TAR_STREAM)) as archive:
        middle = [each for each in archive if each.isfile()][20]
    cut = tar[: middle.offset] + bytes(1024)
    with base.open(MANIFEST_STREAM) as manifest, pytest.raises(IntegrityError, match="which its manifest promises"):
        restore_base(io.BytesIO(cut), manifest=manifest, target_directory=tmp_path / "data", verify=False)
    assert list(tmp_path.iterdir()) == []
