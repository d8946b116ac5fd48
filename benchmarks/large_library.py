"""A library of any size that nobody stores: its listing, and the manifest of the backup before. Pure.

Digests and version ids are drawn at random, because that is what they look like to a compressor; the same number
always gives the same file.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.engines.files.manifest.entry import Bundled, FileEntry
from lc2_backup_dagster.repository.parts import Part

_ETAG_BYTES, _VERSION_BYTES, _SHA256_BYTES = 16, 16, 32
_BUNDLE_FILES = 128
_BUNDLE_DIGEST_BYTES = 3 * 32
_FILES_IN_FOLDER = 10_000
_BEGAN = datetime(2020, 1, 1, tzinfo=UTC)
_MEAN_BYTES = 20_000
_TYPES = ("application/pdf", "image/jpeg", "image/png", "text/html", "application/vnd.ms-excel")


def key_of(number: int) -> str:
    """Return the key of a file; keys ascend with the number."""
    return f"20101/{20_100 + number // _FILES_IN_FOLDER:06d}/{100_000_000 + number * 7}/1.{number % 3}"


def listed(number: int, *, versions: bool = True) -> ObjectInfo:
    """Return one object of the listing."""
    random = Random(number)
    modified = _BEGAN + timedelta(seconds=random.randrange(200_000_000), milliseconds=random.randrange(1000))
    etag, version = random.randbytes(16).hex(), random.randbytes(16).hex()
    return ObjectInfo(
        key_of(number), random.randrange(4096, 2 * _MEAN_BYTES), modified, etag, version if versions else None
    )


def listing(count: int) -> Iterator[ObjectInfo]:
    """Yield the listing in order."""
    return (listed(number) for number in range(count))


def entries(count: int, *, versions: bool) -> Iterator[FileEntry]:
    """Yield the manifest of a backup of the library, in order, small files in bundles."""
    bundle, offset = _bundle(0), 0
    for number in range(count):
        if number % _BUNDLE_FILES == 0:
            bundle, offset = _bundle(number), 0
        info = listed(number, versions=versions)
        random = Random(-number - 1)
        identity, part = bundle
        yield FileEntry(
            key=info.key,
            size_bytes=info.size_bytes,
            modified=info.modified,
            location=Bundled(identity, "data-1", offset, info.size_bytes, part),
            etag=info.etag,
            version=info.version,
            content_type=random.choice(_TYPES),
            sha256=random.randbytes(32).hex(),
        )
        offset += info.size_bytes


def digest_bytes(count: int, *, versions: bool) -> int:
    """Return how many bytes of a manifest are digests and ids: no compressor makes them smaller."""
    bundles = (count + _BUNDLE_FILES - 1) // _BUNDLE_FILES
    own = _ETAG_BYTES + _SHA256_BYTES + (_VERSION_BYTES if versions else 0)
    return count * own + bundles * _BUNDLE_DIGEST_BYTES


def _bundle(number: int) -> tuple[str, Part]:
    random = Random(f"bundle {number}")
    identity, plain, stored = (random.randbytes(32).hex() for _ in range(3))
    return identity, Part(_BUNDLE_FILES * 2 * _MEAN_BYTES, random.randrange(1 << 21), plain, stored)
