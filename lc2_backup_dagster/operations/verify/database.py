"""Verify what is special about database backups: PostgreSQL's own checksums, and archived WAL."""

import tempfile
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from lc2_backup_dagster.engines.postgres.base.backup_manifest import MANIFEST_NAME, read_manifest
from lc2_backup_dagster.engines.postgres.base.stream_names import MANIFEST_STREAM, archive_stream
from lc2_backup_dagster.engines.postgres.base.verify_tar import compare_archives
from lc2_backup_dagster.engines.postgres.ports import SupportsRead
from lc2_backup_dagster.model.errors import ChainBroken, IntegrityError
from lc2_backup_dagster.operations.restore.stored_chain import tablespaces_of
from lc2_backup_dagster.operations.verify.chain_objects import ChainLoss, lost_wal, no_way, promised_wal
from lc2_backup_dagster.operations.verify.verified import Damage
from lc2_backup_dagster.operations.wal.physical_reach import needed_segments
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.reading import StreamReader
from lc2_backup_dagster.repository.site import SiteRepository

_READERS = 3


def verify_archives(
    repository: SiteRepository, manifest: Manifest, scratch: Path, *, progress: Callable[[int, int], None]
) -> list[Damage]:
    """Stream every archive of a base backup and compare each file with the checksum that the server gave it.

    Every part of the archives is proven on the way, so they need not be read once more.

    Args:
        repository: the site's repository.
        manifest: of the base backup.
        scratch: where the server's manifest may lie meanwhile.
        progress: told parts and stored bytes done.

    Raises:
        IntegrityError: a part, the tar or the server's manifest is damaged; which objects, a look at each part tells.
    """
    with tempfile.TemporaryDirectory(prefix="lc2-verify-", dir=scratch) as directory:
        place = Path(directory) / MANIFEST_NAME
        repository.save_stream(manifest, MANIFEST_STREAM, place)
        read_manifest(place)
        prefix = layout.backup_prefix(repository.site, manifest.component, manifest.backup_id)
        # Closed here: left to the garbage collector, which runs in any thread, a reader would wait for itself.
        with closing(_archives(repository, manifest, progress)) as archives:
            return [
                Damage(
                    manifest.backup_id, f"{prefix}{_stream_of(found.path, manifest)}", f"{found.path} {found.reason}"
                )
                for found in compare_archives(place, archives)
            ]


def archives_of(manifest: Manifest) -> list[str]:
    """Return the names of a base backup's archives."""
    return [archive_stream(oid) for oid in (*tablespaces_of(manifest), None)]


def verify_wal(repository: SiteRepository, manifest: Manifest) -> tuple[list[Damage], int]:
    """Read every archived segment that a backup of kind ``wal`` promises, and prove it; return how many there are.

    Raises:
        StoreUnavailable: nothing is known.
    """
    try:
        promised, coverage = promised_wal(repository, manifest)
    except ChainBroken as error:
        return [_damage(no_way(manifest, error))], 0
    damages = [_damage(loss) for loss in lost_wal(manifest, promised, coverage)]

    def read(name: str) -> Damage | None:
        try:
            if coverage.partial is not None and name == coverage.partial[0]:
                coverage.archive.read_partial(*coverage.partial)
            else:
                coverage.archive.read_segment(name)
        except IntegrityError as error:
            return Damage(manifest.backup_id, str(error.attributes.get("key", name)), error.message)
        return None

    needed = needed_segments(coverage, promised, segment_bytes=manifest.details["wal_segment_bytes"])
    with ThreadPoolExecutor(_READERS, thread_name_prefix="verify-wal") as pool:
        damages += [damage for damage in pool.map(read, needed) if damage]
    return damages, len(needed)


def _damage(loss: ChainLoss) -> Damage:
    return Damage(loss.backup_id, loss.key, loss.reason)


def _archives(
    repository: SiteRepository, manifest: Manifest, progress: Callable[[int, int], None]
) -> Generator[tuple[int | None, SupportsRead]]:
    """Open one archive after the other, tablespaces first, as the server's manifest lists them."""
    parts = stored = 0
    for oid in (*tablespaces_of(manifest), None):
        with repository.open_stream(manifest, archive_stream(oid)) as reader:
            counted = _Counted(reader, parts, stored, progress)
            yield oid, counted
            parts, stored = counted.parts, counted.stored


class _Counted:
    """A stream that tells how many of its parts went by, and those of the streams before it."""

    def __init__(self, reader: StreamReader, parts: int, stored: int, progress: Callable[[int, int], None]) -> None:
        self._reader, self._progress = reader, progress
        self._left = deque(reader.stream.parts)
        self._ahead = 0
        self.parts, self.stored = parts, stored

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""
        chunk = self._reader.read(size)
        self._ahead += len(chunk)
        while self._left and self._ahead >= self._left[0].plain_bytes:
            part = self._left.popleft()
            self._ahead -= part.plain_bytes
            self.parts, self.stored = self.parts + 1, self.stored + part.stored_bytes
            self._progress(self.parts, self.stored)
        return chunk


def _stream_of(path: str, manifest: Manifest) -> str:
    for oid in tablespaces_of(manifest):
        if path.startswith(f"pg_tblspc/{oid}/"):
            return archive_stream(oid)
    return archive_stream(None)
