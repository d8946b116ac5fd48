"""PostgreSQL's ``backup_manifest``: read line by line, checked against its own checksum, in bounded memory.

Source: PostgreSQL manual, chapter "Backup Manifest Format". Servers write one file per line; a manifest of a large
cluster has hundreds of megabytes, so it is never loaded as one JSON document.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lc2_backup_dagster.model.errors import IntegrityError
from lc2_backup_dagster.model.lsn import Lsn

MANIFEST_NAME = "backup_manifest"


@dataclass(frozen=True, slots=True)
class WalRange:
    """WAL that the backup needs: from ``start`` up to ``end``, on one timeline."""

    start: Lsn
    end: Lsn


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file of the backup as the server sent it.

    Attributes:
        path: relative path, surrogate-escaped where it is not UTF-8.
        size: bytes.
        algorithm: ``SHA256``, ``CRC32C`` … or None without checksums.
        checksum: hexadecimal, or None.
    """

    path: str
    size: int
    algorithm: str | None
    checksum: str | None


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """What the manifest says beside its files.

    Attributes:
        version: 1 (servers 13 to 16) or 2.
        system_identifier: as text, None in version 1.
        wal_ranges: what must be in ``pg_wal``.
        files: number of files listed.
        checksum: its own SHA-256, verified.
    """

    version: int
    system_identifier: str | None
    wal_ranges: tuple[WalRange, ...]
    files: int
    checksum: str

    @property
    def start(self) -> Lsn:
        """Where redo begins; a timeline switch while a standby was backed up splits the range."""
        return min((needed.start for needed in self.wal_ranges), key=lambda lsn: (lsn.timeline, lsn.value))

    @property
    def stop(self) -> Lsn:
        """Where the backup is consistent."""
        return max((needed.end for needed in self.wal_ranges), key=lambda lsn: (lsn.timeline, lsn.value))


def read_manifest(path: Path) -> BackupManifest:
    """Read and verify a manifest.

    Raises:
        IntegrityError: unreadable, or its own checksum is wrong.
    """
    frame: list[str] = []
    digest = hashlib.sha256()
    files = 0
    last = b""
    with path.open("rb") as lines:
        for line in lines:
            digest.update(last)
            last = line
            if line.startswith(b'{ "Path"') or line.startswith(b'{ "Encoded-Path"'):
                files += 1
            else:
                frame.append(line.decode("utf-8", "replace"))
                if len(frame) > 10_000:
                    raise IntegrityError("backup_manifest is not in the form that PostgreSQL writes")
    try:
        document: dict[str, Any] = json.loads("".join(frame))
        ranges = tuple(_wal_range(entry) for entry in document["WAL-Ranges"])
        manifest = BackupManifest(
            version=document["PostgreSQL-Backup-Manifest-Version"],
            system_identifier=str(document["System-Identifier"]) if "System-Identifier" in document else None,
            wal_ranges=ranges,
            files=files,
            checksum=document["Manifest-Checksum"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"backup_manifest is unreadable: {error}") from error
    if digest.hexdigest() != manifest.checksum:
        raise IntegrityError(
            f"backup_manifest does not match its own checksum (says {manifest.checksum}, is {digest.hexdigest()})"
        )
    if not ranges:
        raise IntegrityError("backup_manifest names no WAL")
    return manifest


def manifest_files(path: Path) -> Iterator[ManifestFile]:
    """Yield the files of a manifest in its order, which is the order in which the server sent them."""
    with path.open("rb") as lines:
        for line in lines:
            if line.startswith(b'{ "Path"') or line.startswith(b'{ "Encoded-Path"'):
                try:
                    entry = json.loads(line.rstrip().removesuffix(b","))
                    name = entry.get("Path")
                    if name is None:
                        name = bytes.fromhex(entry["Encoded-Path"]).decode("utf-8", "surrogateescape")
                    yield ManifestFile(name, entry["Size"], entry.get("Checksum-Algorithm"), entry.get("Checksum"))
                except (ValueError, KeyError) as error:
                    raise IntegrityError(f"backup_manifest has an unreadable line: {error}") from error


def wal_segment_names(needed: WalRange, *, segment_bytes: int) -> Iterator[str]:
    """Yield the names of the segments that hold a range of WAL."""
    per_id = 0x100000000 // segment_bytes
    last = max(needed.end.value - 1, needed.start.value) // segment_bytes
    for number in range(needed.start.value // segment_bytes, last + 1):
        yield f"{needed.start.timeline:08X}{number // per_id:08X}{number % per_id:08X}"


def _wal_range(entry: dict[str, Any]) -> WalRange:
    timeline = int(entry["Timeline"])
    return WalRange(Lsn.parse(entry["Start-LSN"], timeline=timeline), Lsn.parse(entry["End-LSN"], timeline=timeline))
