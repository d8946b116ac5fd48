"""Bring one file of a data directory back, reading only the parts that hold it, through every increment of a chain."""

from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from lc2_backup_dagster.engines.postgres.base.backup_manifest import ManifestFile, manifest_files, read_manifest
from lc2_backup_dagster.engines.postgres.base.checksums import new_checksum
from lc2_backup_dagster.engines.postgres.base.stream_names import MANIFEST_STREAM, archive_stream, index_stream
from lc2_backup_dagster.engines.postgres.base.tar_index import TarMember
from lc2_backup_dagster.engines.postgres.restore.increments import PREFIX, ChangedFile, IncrementSink, UnderlyingSink
from lc2_backup_dagster.engines.postgres.restore.member_sinks import Checked, NewFile, Sink
from lc2_backup_dagster.engines.postgres.restore.tablespaces import LINKS_FOLDER
from lc2_backup_dagster.model.errors import (
    ChainBroken,
    ConfigurationError,
    IntegrityError,
    RecoveryPointNotFound,
    TargetNotEmpty,
)
from lc2_backup_dagster.model.recovery_target import IMMEDIATE
from lc2_backup_dagster.operations.restore.choose_start import choose_start
from lc2_backup_dagster.operations.restore.record import recorded_restore
from lc2_backup_dagster.operations.restore.stored_chain import manifests_of
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.record import Initiator
from lc2_backup_dagster.repository.site import SiteRepository

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class RestoredFile:
    """A file that was brought back.

    Attributes:
        path: its path in the data directory.
        output: where it lies now.
        size_bytes: its size.
        backups: ids of the backups it was put together from, the one that holds it whole first.
    """

    path: str
    output: Path
    size_bytes: int
    backups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    manifest: Manifest
    stream: str
    member: TarMember
    name: str  # in the backup's own manifest


def restore_file(
    context: SiteContext, backup_id: str, path: str, *, output: Path, initiator: Initiator
) -> RestoredFile:
    """Write one file as it was in a full or incremental backup. The restore is recorded in the log.

    Args:
        context: the site.
        backup_id: a base backup.
        path: path in the data directory, like ``base/5/16384`` or ``global/pg_control``.
        output: a new file.
        initiator: who asks.

    A relation's file is as the server was writing it during the backup; only recovery makes it consistent.

    Raises:
        TargetNotEmpty: the output exists.
        RecoveryPointNotFound: the backup has no such file.
        ChainBroken: an increment of the file stands on nothing.
        IntegrityError: it is not what the server's manifest promises; nothing is left at ``output``.
    """
    repository = context.open_repository(False)
    if output.exists() or output.is_symlink():
        raise TargetNotEmpty(f"{output} exists", hint="name a new file")
    if not output.parent.is_dir():
        raise ConfigurationError(f"there is no directory {output.parent}", hint="create it first")
    body = {"point": backup_id, "database": None, "files": str(output), "path": path, "plain_bytes": 0}
    start = choose_start(repository, IMMEDIATE, backup_id=backup_id)
    if start.coverage is not None:
        raise ConfigurationError(f"{backup_id} copies nothing", hint=f"name {start.chain.newest.backup_id}")
    found = _find(repository, manifests_of(repository, start.chain), path)
    partial = output.with_name(f"{output.name}.lc2-partial")
    with recorded_restore(repository, initiator, body):
        try:
            with scratch_folder(context.database.scratch_directory, context.site, "restore-file") as scratch:
                changed = ChangedFile(path)
                partial.touch(exist_ok=False)
                for each in reversed(found):
                    promised = _promised(repository, each, scratch)
                    file = FileIO(partial, "r+b")
                    if each is not found[0]:
                        _take(repository, each, promised, IncrementSink(file, changed))
                    elif len(found) > 1:
                        _take(repository, each, promised, UnderlyingSink(file, changed))
                    else:
                        _take(repository, each, promised, NewFile(file))
            partial.rename(output)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        size = body["plain_bytes"] = output.stat().st_size
    return RestoredFile(path, output, size, tuple(each.manifest.backup_id for each in found))


def _find(repository: SiteRepository, manifests: list[Manifest], path: str) -> list[_Found]:
    """Return where the file is whole for the last time, and the increments of it after that, oldest first."""
    found: list[_Found] = []
    for manifest in reversed(manifests):
        here = _member(repository, manifest, path)
        if here is None:
            if not found:
                raise RecoveryPointNotFound(
                    f"{manifest.backup_id} has no file {path}",
                    hint="name a path of the data directory, like base/5/1259",
                )
            raise ChainBroken(f"{found[-1].manifest.backup_id} holds changed blocks of {path}, which stand on nothing")
        found.append(here)
        if here.name == path:
            return found[::-1]
    raise ChainBroken(f"{manifests[0].backup_id} holds changed blocks of {path}, which stand on nothing")


def _member(repository: SiteRepository, manifest: Manifest, path: str) -> _Found | None:
    oid, inside = _tablespace(path)
    if index_stream(oid) not in manifest.streams:
        return None
    folder, slash, name = inside.rpartition("/")
    changed = f"{folder}{slash}{PREFIX}{name}"
    prefix = path.removesuffix(inside)
    rest = b""
    with repository.open_stream(manifest, index_stream(oid)) as source:
        while chunk := source.read(1 << 20):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                member = TarMember.from_line(line)
                if member.is_file and member.path.removeprefix("./") in (inside, changed):
                    own = prefix + member.path.removeprefix("./")
                    return _Found(manifest, archive_stream(oid), member, own)
    return None


def _tablespace(path: str) -> tuple[int | None, str]:
    parts = path.split("/", 2)
    if len(parts) == 3 and parts[0] == LINKS_FOLDER and parts[1].isdecimal():
        return int(parts[1]), parts[2]
    return None, path


def _promised(repository: SiteRepository, found: _Found, scratch: Path) -> ManifestFile | None:
    """Return what the server's manifest says of the file; WAL is not in it."""
    copy = scratch / "backup_manifest"
    repository.save_stream(found.manifest, MANIFEST_STREAM, copy)
    read_manifest(copy)
    return next((each for each in manifest_files(copy) if each.path == found.name), None)


def _take(repository: SiteRepository, found: _Found, promised: ManifestFile | None, sink: Sink) -> None:
    checksum = new_checksum(promised.algorithm) if promised else None
    if promised is not None and promised.size != found.member.size:
        sink.abandon()
        raise IntegrityError(f"{found.name} has {found.member.size} bytes, its manifest promises {promised.size}")
    if promised is not None and checksum is not None:
        sink = Checked(sink, checksum, promised)
    try:
        start, stream = found.member.offset, repository.stored_stream(found.manifest, found.stream)
        with stream.open(start=start, end=start + found.member.size) as source:
            while piece := source.read(_CHUNK_BYTES):
                sink.write(memoryview(piece))
    except BaseException:
        sink.abandon()
        raise
    sink.close()
