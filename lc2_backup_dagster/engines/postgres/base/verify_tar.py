"""Compare the archives of a base backup with the server's own manifest, as they stream by.

The SHA-256 of a part proves that what was stored is what was sent. PostgreSQL's checksum of each file proves that
what was sent is what the server read: it catches what went wrong before the bytes reached a part. Nothing is unpacked;
memory does not grow with the backup.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lc2_backup_dagster.engines.postgres.base.backup_manifest import ManifestFile, manifest_files
from lc2_backup_dagster.engines.postgres.base.checksums import new_checksum
from lc2_backup_dagster.engines.postgres.base.tar_index import MemberSink, TarMember, TarScanner
from lc2_backup_dagster.engines.postgres.ports import SupportsRead

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileDamage:
    """A file of the backup that is not what the server promised.

    Attributes:
        path: relative to the data directory.
        reason: what is wrong.
    """

    path: str
    reason: str


def compare_archives(manifest: Path, archives: Iterable[tuple[int | None, SupportsRead]]) -> Iterator[FileDamage]:
    """Yield every file of a manifest that the archives lack or hold with other content.

    Archives come in any order; in the manifest's (tablespaces, then the data directory) hardly anything is remembered.

    Args:
        manifest: the server's ``backup_manifest``, proven already.
        archives: pairs of a tablespace's oid (None for the main data directory) and its tar; each is read to its end.

    Raises:
        IntegrityError: a tar that is none, or a stored part that is damaged.
    """
    promised = _Promised(manifest)
    for oid, source in archives:
        met: list[tuple[str, int, str]] = []
        scanner = TarScanner(_Opener(f"pg_tblspc/{oid}/" if oid else "", promised, met).open)
        while chunk := source.read(_CHUNK_BYTES):
            scanner.feed(chunk)
            while met:
                yield from promised.compare(*met.pop())
        scanner.finish()
        while met:
            yield from promised.compare(*met.pop())
    for path in promised.missing():
        yield FileDamage(path, "is in the server's manifest, but not in the backup")


class _Promised:
    """The manifest's files, walked beside the stream: servers send them in the manifest's order."""

    def __init__(self, manifest: Path) -> None:
        self._files = manifest_files(manifest)
        self._waiting: dict[str, ManifestFile] = {}

    def of(self, path: str) -> ManifestFile | None:
        """Return what is promised of a file, or None of what the manifest does not list (WAL segments)."""
        found = self._waiting.get(path)
        while found is None and (following := next(self._files, None)) is not None:
            self._waiting[following.path] = following
            found = following if following.path == path else None
        return found

    def compare(self, path: str, size: int, digest: str) -> Iterator[FileDamage]:
        """Compare a file that went by with its promise, which is done with then."""
        told = self._waiting.pop(path)
        if size != told.size:
            yield FileDamage(path, f"has {size} bytes, the server's manifest promises {told.size}")
        elif told.checksum is not None and digest and digest != told.checksum:
            yield FileDamage(path, f"has other content than the server's manifest promises ({told.algorithm})")

    def missing(self) -> Iterator[str]:
        """Yield what never went by."""
        yield from self._waiting
        for left in self._files:
            yield left.path


class _Opener:
    """Gives each file of a tar that the manifest lists what sums it up."""

    def __init__(self, prefix: str, promised: _Promised, met: list[tuple[str, int, str]]) -> None:
        self._prefix, self._promised, self._met = prefix, promised, met

    def open(self, member: TarMember) -> MemberSink | None:
        path = self._prefix + member.path
        # Segments are not in the manifest; looking for one would read the manifest to its end.
        if not member.is_file or (path.startswith("pg_wal/") and len(member.path) == len("pg_wal/") + 24):
            return None
        told = self._promised.of(path)
        return _Summed(told, self._met) if told else None


class _Summed:
    def __init__(self, told: ManifestFile, met: list[tuple[str, int, str]]) -> None:
        self._path, self._met = told.path, met
        self._sum = new_checksum(told.algorithm)
        self._size = 0

    def write(self, chunk: memoryview, /) -> None:
        self._size += len(chunk)
        if self._sum:
            self._sum.update(chunk)

    def close(self) -> None:
        self._met.append((self._path, self._size, self._sum.hexdigest() if self._sum else ""))
