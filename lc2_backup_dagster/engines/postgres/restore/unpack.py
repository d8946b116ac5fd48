"""Write the members of base backups into a data directory: whole files, and changed blocks in place.

What every member must be is known from the manifests (``chain_plan``) before it arrives; its size and checksum are
proven while it passes by. Members that a later backup replaces or drops are passed over. The backups of a chain come
newest first (``increments``).
"""

import os
import shutil
import stat
import threading
from collections.abc import Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from lc2_backup_dagster.engines.postgres.base.backup_label import LABEL_NAME, without_parent
from lc2_backup_dagster.engines.postgres.base.backup_manifest import MANIFEST_NAME, ManifestFile
from lc2_backup_dagster.engines.postgres.base.checksums import new_checksum
from lc2_backup_dagster.engines.postgres.base.tar_index import MemberSink, TarMember
from lc2_backup_dagster.engines.postgres.restore.chain_plan import WAL_FOLDER, PlannedFile
from lc2_backup_dagster.engines.postgres.restore.increments import (
    ChangedFile,
    IncrementSink,
    UnderlyingSink,
    final_path,
)
from lc2_backup_dagster.engines.postgres.restore.member_sinks import Checked, ComparedFile, LabelFile, NewFile, Sink
from lc2_backup_dagster.engines.postgres.restore.page_cache import PageCache
from lc2_backup_dagster.engines.postgres.restore.tablespaces import LINKS_FOLDER, MAP_NAME
from lc2_backup_dagster.engines.postgres.restore.target_directory import CONTROL, UNFINISHED
from lc2_backup_dagster.engines.postgres.servers.account import Account, give_to
from lc2_backup_dagster.model.errors import IntegrityError

# A backup taken from a standby holds its signal file: the restored server would wait for a primary for ever.
_SIGNALS = ("standby.signal", "recovery.signal")


class Unpacking:
    """A data directory as it grows out of the backups of a chain.

    Members arrive through lanes, each used by one thread. All of a newer backup have arrived before the first of an
    older one does.

    Args:
        target: the data directory; exists.
        tablespaces: oid → directory.
        newest: number of the last backup of the chain; the full one is 0.
        planned: what the result consists of; None believes the tar (backups without a manifest of their own).
        kept: paths whose content is right already (delta).
        account: who shall own everything.
        delta: files may be there already; only what differs is written.
        through_cache: leave in the page cache what was written, for a server that is started at once.

    Attributes:
        files: files written.
        bytes_written: their bytes; of increments and in a delta only what was really written.
        modified: second of last modification of each file by the newest backup.
        directories: directories of the newest backup.
        has_control: whether ``pg_control`` was written, under its unfinished name.
        results: size and checksum of each file that increments changed.
    """

    def __init__(
        self, target: Path, *, tablespaces: Mapping[int, Path], newest: int, planned: dict[str, PlannedFile] | None,
        kept: frozenset[str], account: Account | None, delta: bool, through_cache: bool = True,
    ) -> None:  # fmt: skip
        self._roots = {"": target, **{f"{LINKS_FOLDER}/{oid}/": place for oid, place in tablespaces.items()}}
        self._newest = newest
        self._planned = planned
        self._missing = {
            path: 1 + len(file.increments) for path, file in (planned or {}).items() if path not in kept
        }  # fmt: skip
        self._kept = kept
        self._account = account
        self._delta = delta
        self._through_cache = through_cache or delta
        self._changed: dict[str, ChangedFile] = {}
        self._counting = threading.Lock()
        self.files = 0
        self.bytes_written = 0
        self.directories: set[str] = set()
        self.modified: dict[str, int] = {}
        self.has_control = False
        self.results: dict[str, tuple[int, str | None]] = {}

    def lane(self, *, number: int, prefix: str) -> "Lane":
        """Return what takes members of one stream of backup ``number``; ``prefix`` is its tablespace's path."""
        return Lane(self, number, prefix, None if self._through_cache else PageCache())

    def member(self, member: TarMember, *, number: int, prefix: str, cache: PageCache | None) -> Sink | None:
        """Take one member.

        Raises:
            IntegrityError: a base backup holds no such member.
        """
        name = prefix + _clean(member.path)
        try:
            if member.is_file:
                return self._file(member, name.rstrip("/"), number, cache)
            self._other(member, name.rstrip("/"), number)
        except (FileExistsError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise IntegrityError(f"the base backup's members do not fit together at {name!r}") from error
        return None

    def check_complete(self) -> None:
        """Raise unless every planned file has arrived.

        Raises:
            IntegrityError: the streams lack what the manifests promise.
        """
        lost = next((path for path, parts in self._missing.items() if parts), None)
        if lost is not None:
            raise IntegrityError(f"the base backup lacks {lost}, which its manifest promises")
        if not self.has_control:
            raise IntegrityError(f"the stream has no {CONTROL}, it is not a base backup")

    def place(self, name: str) -> Path:
        """Return where a path of the cluster lies."""
        for prefix, root in self._roots.items():
            if prefix and name.startswith(prefix):
                return root / name.removeprefix(prefix)
        return self._roots[""] / name

    def _other(self, member: TarMember, name: str, number: int) -> None:
        if member.typeflag == "2" and name.startswith(f"{LINKS_FOLDER}/") and f"{name}/" in self._roots:
            return  # the link to the tablespace on the original server; ours is made already
        if member.typeflag != "5":
            raise IntegrityError(f"the base backup has a link or device, which is not supported: {member.path}")
        if number < self._newest:
            return
        self.directories.add(name)
        path = self.place(name)
        if self._delta and not path.is_dir():
            _remove(path)
        if self._planned is not None:
            self._make_parents(path.parent)  # they may come through another lane, later
        path.mkdir(mode=0o700, exist_ok=True)
        path.chmod(member.mode & 0o750 | 0o700)
        give_to(self._account, path)

    def _file(self, member: TarMember, name: str, number: int, cache: PageCache | None) -> Sink | None:
        name, incremental = final_path(name) if number else (name, False)
        if name in _SIGNALS or name == MAP_NAME or (name == MANIFEST_NAME and self._planned is not None):
            return None
        is_newest = number == self._newest
        if is_newest:
            self.modified[name] = member.mtime
        planned = self._planned.get(name) if self._planned is not None else None
        if planned is None:
            # WAL, and what only verification may complain of
            in_place = self._planned is None or name.startswith(f"{WAL_FOLDER}/")
            if not in_place and is_newest:
                raise IntegrityError(f"the base backup holds {name}, which its manifest does not list")
            return self._counted(self._whole(member, name, cache)) if is_newest else None
        if name in self._kept or number < planned.whole_at:
            return None
        promised = planned.whole if number == planned.whole_at else planned.increments[number - planned.whole_at - 1]
        if incremental == (number == planned.whole_at) or member.size != promised.size:
            raise IntegrityError(
                f"the base backup holds {member.size} bytes of {member.path}, its manifest promises {promised.size}"
            )
        self._expect(name, older=number - planned.whole_at)
        if incremental and planned.is_known:
            return None  # it says that nothing has changed; opening every file of a cluster would take longest
        if incremental:
            sink = self._increment(member, name, is_newest=is_newest)
        elif planned.is_known:
            sink = self._whole(member, name, cache, inherits=number > 0)
        else:
            sink = self._underlying(name, promised, cache)
        return self._counted(_checked(sink, promised))

    def _expect(self, name: str, *, older: int) -> None:
        """Take note that a planned file arrived from one backup; from so many older ones it is still to come."""
        with self._counting:
            if self._missing[name] != older + 1:
                raise IntegrityError(f"the base backups hold {name} twice, or not in all of which it consists")
            self._missing[name] = older

    def _counted(self, sink: Sink) -> Sink:
        sink.tell(self._count)
        return sink

    def _count(self, written: int) -> None:
        with self._counting:
            self.bytes_written += written

    def _whole(self, member: TarMember, name: str, cache: PageCache | None, *, inherits: bool = False) -> Sink:
        with self._counting:
            self.files += 1
        mode = member.mode & 0o640 | 0o600
        path = self.place(name)
        if name == CONTROL:
            self.has_control = True
            path = path.with_name(path.name + UNFINISHED)
            path.unlink(missing_ok=True)
        if name == LABEL_NAME and inherits:
            path.unlink(missing_ok=True)
            return LabelFile(self._created(path, os.O_WRONLY | os.O_EXCL, mode), without_parent)
        if self._delta:
            return ComparedFile(self._present(path, mode))
        return NewFile(self._created(path, os.O_WRONLY | os.O_EXCL, mode), cache)

    def _present(self, path: Path, mode: int) -> FileIO:
        if not stat.S_ISREG(_mode_of(path)):
            _remove(path)
        return self._created(path, os.O_RDWR, mode)

    def _created(self, path: Path, flags: int, mode: int) -> FileIO:
        flags |= os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, mode)
        except FileNotFoundError:
            if self._planned is None:
                raise
            # Its directory may come through another lane, later.
            self._make_parents(path.parent)
            descriptor = os.open(path, flags, mode)
        file = FileIO(descriptor, "r+b")
        give_to(self._account, descriptor)
        return file

    def _make_parents(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make_parents(folder.parent)
            folder.mkdir(mode=0o700, exist_ok=True)  # another lane may have made it meanwhile
            give_to(self._account, folder)

    def _increment(self, member: TarMember, name: str, *, is_newest: bool) -> Sink:
        if not is_newest:
            return IncrementSink(self._existing(name), self._changed[name])
        with self._counting:
            self.files += 1
        self._changed[name] = changed = ChangedFile(name, compare=self._delta)
        path, mode = self.place(name), member.mode & 0o640 | 0o600
        file = self._present(path, mode) if self._delta else self._created(path, os.O_RDWR | os.O_EXCL, mode)
        return IncrementSink(file, changed)

    def _underlying(self, name: str, promised: ManifestFile, cache: PageCache | None) -> Sink:
        def take_result(size: int, checksum: str | None) -> None:
            self.results[name] = (size, checksum)

        return UnderlyingSink(
            self._existing(name), self._changed.pop(name), promised=promised, on_result=take_result, cache=cache
        )

    def _existing(self, name: str) -> FileIO:
        return FileIO(os.open(self.place(name), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC), "r+b")


class Lane:
    """Takes members of one stream, one after the other; a context manager. Made by ``Unpacking``."""

    def __init__(self, unpacking: Unpacking, number: int, prefix: str, cache: PageCache | None) -> None:
        self._unpacking, self._number, self._prefix = unpacking, number, prefix
        self._cache = cache
        self._sink: Sink | None = None

    def member(self, member: TarMember) -> MemberSink | None:
        """Take one member; what took the one before is closed already.

        Raises:
            IntegrityError: a base backup holds no such member.
        """
        self._sink = self._unpacking.member(member, number=self._number, prefix=self._prefix, cache=self._cache)
        return self._sink

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what a broken stream left open."""
        if self._sink is not None:
            with suppress(OSError):
                self._sink.abandon()
        if self._cache is not None:
            self._cache.close()


def _checked(sink: Sink, promised: ManifestFile) -> Sink:
    checksum = new_checksum(promised.algorithm)
    return sink if checksum is None else Checked(sink, checksum, promised)


def _clean(name: str) -> str:
    """Return a member's name without ``./``; empty for the directory itself.

    Only directories and files are ever made below the roots, never links, so no parent can lead elsewhere.
    """
    parts = name.removeprefix("./").split("/")
    if name.startswith("/") or "\0" in name or ".." in parts or (name != "." and "" in parts):
        raise IntegrityError(f"the base backup has a path that leads out of its directory: {name!r}")
    return "/".join(part for part in parts if part != ".")


def _mode_of(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
