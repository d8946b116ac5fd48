"""Restore base backups into a data directory that cannot start before it is complete.

A chain of increments is put together in place, newest backup first (``increments``): every byte is written once, where
it stays. Where the manifests prove every file, several lanes unpack pieces of one archive at once (``lanes``).
``global/pg_control`` is written under another name and renamed last, after everything else is on disk: a server
refuses a directory without it, so an unfinished restore can never be mistaken for a database. What a server must find
at its first start (``settled``) is written before that.

A delta restore works on a directory of the same system: its ``pg_control`` is taken away first, files that are right
already are left alone, of the others only what differs is written, and what the backup does not have is deleted.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lc2_backup_dagster.engines.postgres.base.stream_names import MANIFEST_STREAM, TAR_STREAM, archive_stream
from lc2_backup_dagster.engines.postgres.ports import Progress, SupportsRead, naming_full_disk, no_progress
from lc2_backup_dagster.engines.postgres.restore.chain_manifests import ChainManifests
from lc2_backup_dagster.engines.postgres.restore.delta import keep_what_is_right, remove_empty_directories
from lc2_backup_dagster.engines.postgres.restore.lanes import LANES, Piece, unpack_in_lanes
from lc2_backup_dagster.engines.postgres.restore.tablespaces import LINKS_FOLDER, make_links, place_tablespaces
from lc2_backup_dagster.engines.postgres.restore.tar_ranges import TarRange, cut_tar
from lc2_backup_dagster.engines.postgres.restore.target_directory import (
    CONTROL,
    UNFINISHED,
    check_delta_directory,
    check_target_directory,
    disable,
    mark,
    remove_content,
    sync_file_system,
    sync_path,
)
from lc2_backup_dagster.engines.postgres.restore.unpack import Unpacking
from lc2_backup_dagster.engines.postgres.restore.verify_base import Verified, verify_directory
from lc2_backup_dagster.engines.postgres.servers.account import Account, give_to, server_account
from lc2_backup_dagster.model.errors import ChainBroken, IntegrityError, StorageFull

__all__ = ["RestoredBase", "StoredBase", "check_target_directory", "restore_base", "restore_chain"]

_CHUNK_BYTES = 1 << 20
# Shorter ranges cost more than they share: the part in which two of them meet is opened twice.
RANGE_BYTES = 1 << 27


@dataclass(frozen=True, slots=True)
class StoredBase:
    """One base backup of a chain, as it lies in the repository.

    Attributes:
        name: its id, for messages.
        streams: name → length in bytes: ``base.tar``, ``backup_manifest``, ``tablespace-<oid>.tar``.
        open_stream: opens one of them.
        open_range: opens the bytes of an archive from one position to another. Its caller proves every file by the
            server's checksum; what only proves the same again may be left out. None where streams are read whole.
        indexes: streams beyond those that are indexes of archives; ``open_stream`` opens them too.
        tablespaces: oid → directory on the original server.
        system_identifier: of the cluster, or None to believe the manifest.
    """

    name: str
    streams: Mapping[str, int]
    open_stream: Callable[[str], AbstractContextManager[SupportsRead]]
    tablespaces: Mapping[int, str] = field(default_factory=dict[int, str])
    system_identifier: str | None = None
    open_range: Callable[[str, int, int], AbstractContextManager[SupportsRead]] | None = None
    indexes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RestoredBase:
    """What a restore did.

    Attributes:
        directory: the data directory.
        files: files written.
        bytes_written: their bytes; in a delta only those that differed.
        major: PostgreSQL's major version, from ``PG_VERSION``.
        verified: who verified the directory against the manifest.
        seconds: duration.
        backups: how many backups it was put together from.
        kept_files: files that were right already (delta).
        deleted_files: files that the backup does not have (delta).
    """

    directory: Path
    files: int
    bytes_written: int
    major: int
    verified: Verified | None
    seconds: float
    backups: int = 1
    kept_files: int = 0
    deleted_files: int = 0


def restore_base(
    source: SupportsRead,
    *,
    target_directory: Path,
    manifest: SupportsRead | None = None,
    account: Account | None = None,
    tools_directory: Path | None = None,
    verify: bool = True,
    durable: bool = True,
    tar_bytes: int | None = None,
    on_progress: Progress = no_progress,
) -> RestoredBase:
    """Unpack the one tar of a full base backup; see ``restore_chain``.

    Args:
        source: the tar stream.
        target_directory: see there.
        manifest: its ``backup_manifest``, or None where the tar holds it.
        account: see there.
        tools_directory: see there.
        verify: see there.
        durable: see there.
        tar_bytes: length of the tar if known, to check free space first.
        on_progress: see there.
    """
    sources = {TAR_STREAM: source} if manifest is None else {TAR_STREAM: source, MANIFEST_STREAM: manifest}
    base = StoredBase(
        "the base backup",
        {name: tar_bytes or 0 if name == TAR_STREAM else 0 for name in sources},
        lambda name: contextlib.nullcontext(sources[name]),
    )
    return restore_chain(
        [base],
        target_directory=target_directory,
        account=account,
        tools_directory=tools_directory,
        verify=verify,
        durable=durable,
        on_progress=on_progress,
    )


def restore_chain(
    chain: Sequence[StoredBase],
    *,
    target_directory: Path,
    tablespaces: Mapping[int, Path] | None = None,
    delta: bool = False,
    account: Account | None = None,
    tools_directory: Path | None = None,
    verify: bool = True,
    durable: bool = True,
    before_control: Callable[[Path], None] = lambda directory: None,
    on_progress: Progress = no_progress,
) -> RestoredBase:
    """Restore a full base backup and the increments that stand on it.

    Args:
        chain: the full backup first, each following an increment of the one before it.
        target_directory: a new or empty directory below an existing one, gets mode 0700; for a delta a directory of the
            same system.
        tablespaces: oid → new directory, for every tablespace of the last backup.
        delta: write into a data directory that exists; files the backup does not have are deleted from it.
        account: who shall own everything; by default the account that runs servers when this process is root.
        tools_directory: configured directory of PostgreSQL's tools, for ``pg_verifybackup``.
        verify: compare the result with the manifest and parse its WAL. Sizes and checksums of what the streams held are
            always proven while they pass by, where the backup has a manifest of its own.
        durable: wait until everything is on disk; False for a directory that is thrown away again (a drill).
        before_control: called with the complete directory while no server can start on it yet. It may change what
            ``pg_verifybackup`` does not look at: ``postgresql.auto.conf``, ``recovery.signal``, ``pg_wal``.
        on_progress: called after every chunk, one call at a time.

    When it raises, what it had written is removed again; a delta leaves a directory without ``global/pg_control``, to
    be continued by another delta. Killed half-way, any restore leaves such a directory: no server starts it, and
    only a delta writes into it.

    Raises:
        TargetNotEmpty: see ``check_target_directory`` and ``check_delta_directory``.
        ConfigurationError: a tablespace has no directory, see ``place_tablespaces``.
        StorageFull: no space.
        ChainBroken: the backups do not stand on each other.
        IntegrityError: a stream is damaged, or holds what a base backup never holds.
        RestoreMismatch: the directory does not match the manifest.
    """
    began = time.monotonic()
    target = target_directory.absolute()
    newest = chain[-1]
    if delta:
        check_delta_directory(target, system_identifier=newest.system_identifier)
    else:
        check_target_directory(target)
    places = place_tablespaces(newest.tablespaces, tablespaces or {}, target=target, delta=delta)
    needed = restored_bytes(chain)
    if not delta and (free := shutil.disk_usage(target.parent).free) < needed:
        raise StorageFull(f"{target.parent} has {free} bytes free, the backup needs {needed}")
    account = account if account is not None else server_account()
    outside = [place for place in places.values() if target not in place.parents]
    with _all_or_nothing([target, *outside], delta=delta), naming_full_disk(target):
        restoring = _Restoring(chain, target, places, account, delta=delta, durable=durable)
        restoring.run(on_progress)
        restoring.complete(before_control)
        major = _major(target)
        verified = None
        if verify:
            verified = verify_directory(
                target, major=major, tools_directory=tools_directory, checksums=restoring.manifests is None
            )
    return RestoredBase(
        directory=target,
        files=restoring.unpacking.files,
        bytes_written=restoring.unpacking.bytes_written,
        major=major,
        verified=verified,
        seconds=time.monotonic() - began,
        backups=len(chain),
        kept_files=restoring.kept,
        deleted_files=restoring.deleted,
    )


def restored_bytes(chain: Iterable[StoredBase]) -> int:
    """Return what a restore of a chain may need on disk at most: every increment could make the cluster longer."""
    return sum(size for base in chain for name, size in base.streams.items() if name.endswith(".tar"))


@contextmanager
def _all_or_nothing(directories: list[Path], *, delta: bool) -> Generator[None]:
    existed = [directory.exists() for directory in directories]
    try:
        yield
    except BaseException:
        if delta:
            disable(directories[0])
        else:
            for directory, before in zip(directories, existed, strict=True):
                remove_content(directory, existed=before)
        raise


class _Restoring:
    """One restore under way."""

    def __init__(
        self, chain: Sequence[StoredBase], target: Path, places: Mapping[int, Path], account: Account | None, *,
        delta: bool, durable: bool,
    ) -> None:  # fmt: skip
        self._chain = chain
        self._target = target
        self._places = places
        self._delta = delta
        self._durable = durable
        self._account = account
        self.kept = self.deleted = 0
        target.mkdir(mode=0o700, exist_ok=True)
        target.chmod(0o700)
        identifier = chain[-1].system_identifier
        work = mark(target, system_identifier=identifier)
        self._work = work
        self.manifests = _read_manifests(chain, work)
        self._is_proven = self.manifests is not None and self.manifests.prove_content
        if delta:
            disable(target)
        self._prepare()

    def _prepare(self) -> None:
        give_to(self._account, self._target)
        make_links(self._places, target=self._target, account=self._account)
        planned = self.manifests.planned if self.manifests is not None else None
        kept: frozenset[str] = frozenset()
        if self._delta and planned is not None:
            kept, self.deleted = keep_what_is_right(self._target, planned, tablespaces=self._places)
            self.kept = len(kept)
        self.unpacking = Unpacking(
            self._target, tablespaces=self._places, newest=len(self._chain) - 1, planned=planned, kept=kept,
            account=self._account, delta=self._delta, through_cache=not self._durable,
        )  # fmt: skip

    def run(self, on_progress: Progress) -> None:
        """Read every archive."""
        names = {TAR_STREAM: ""} | {archive_stream(oid): f"{LINKS_FOLDER}/{oid}/" for oid in self._places}
        total = sum(base.streams.get(name, 0) for base in self._chain for name in names)
        backups = [
            [
                piece
                for name, prefix in names.items()
                if name in base.streams  # the tablespace may be younger than this backup
                for piece in self._pieces(number, base, name, prefix)
            ]
            for number, base in reversed(list(enumerate(self._chain)))
        ]
        unpack_in_lanes(backups, self.unpacking, total_bytes=total or None, on_progress=on_progress)

    def _pieces(self, number: int, base: StoredBase, name: str, prefix: str) -> list[Piece]:
        """Cut an archive where lanes can share it: what every file must be is known, and no file is there yet."""
        size, open_range = base.streams[name], base.open_range
        if open_range is None or not self._is_proven:
            return [Piece(number, prefix, size, partial(base.open_stream, name))]
        return [
            Piece(number, prefix, each.size_bytes, partial(open_range, name, each.start, each.end), each)
            for each in self._ranges(base, name, size)
        ]

    def _ranges(self, base: StoredBase, name: str, size: int) -> list[TarRange]:
        whole = [TarRange(0, size, is_last=True)]
        index = f"{name.removesuffix('.tar')}.index"
        if self._delta or index not in base.indexes or size < 2 * RANGE_BYTES:
            return whole
        try:
            with base.open_stream(index) as lines:
                return cut_tar(lines, tar_bytes=size, range_bytes=RANGE_BYTES)
        except IntegrityError:
            return whole  # it only saves time: what is restored is proven without it

    def complete(self, before_control: Callable[[Path], None]) -> None:
        """Make everything durable, then let the directory be a database."""
        target = self._target
        self.unpacking.check_complete()
        _major(target)
        if self.manifests is not None:
            self.manifests.write_result(target, unpacking=self.unpacking, account=self._account)
            self.unpacking.files += 1
        if self._delta:
            remove_empty_directories(target, self.unpacking, tablespaces=self._places)
        before_control(target)
        shutil.rmtree(self._work)
        if self._durable:
            for directory in (target, *self._places.values()):
                sync_file_system(directory)
        control = target / CONTROL
        control.with_name(control.name + UNFINISHED).rename(control)
        if self._durable:
            sync_path(control.parent)
            sync_path(target.parent)


def _read_manifests(chain: Sequence[StoredBase], work: Path) -> ChainManifests | None:
    if len(chain) == 1 and MANIFEST_STREAM not in chain[0].streams:
        return None
    lacking = next((base.name for base in chain if MANIFEST_STREAM not in base.streams), None)
    if lacking is not None:
        raise ChainBroken(f"{lacking} has no {MANIFEST_STREAM}, it cannot be part of a chain")
    paths = [work / f"manifest.{number}" for number in range(len(chain))]

    def fetch(base: StoredBase, path: Path) -> None:
        with base.open_stream(MANIFEST_STREAM) as source, path.open("wb") as file:
            shutil.copyfileobj(_Readable(source), file, _CHUNK_BYTES)

    with ThreadPoolExecutor(LANES, thread_name_prefix="manifests") as pool:
        for _ in pool.map(fetch, chain, paths):
            pass
    return ChainManifests(paths, names=[base.name for base in chain], system_identifier=chain[-1].system_identifier)


class _Readable:
    def __init__(self, source: SupportsRead) -> None:
        self._source = source

    def read(self, size: int = -1, /) -> bytes:
        return self._source.read(size)


def _major(target: Path) -> int:
    try:
        return int((target / "PG_VERSION").read_text(encoding="ascii").split(".")[0])
    except (OSError, ValueError) as error:
        raise IntegrityError("the stream has no readable PG_VERSION, it is not a base backup") from error
