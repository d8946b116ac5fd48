"""Bytes out of the middle of a stream: only the parts that hold them are fetched."""

from collections.abc import Iterator

from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.site import SiteRepository


def read_range(
    repository: SiteRepository, manifest: Manifest, name: str, *, offset: int, size: int
) -> Iterator[memoryview]:
    """Yield ``size`` bytes of a stream's plain text from ``offset`` on, in pieces of at most one part.

    Raises:
        PartMissing: a part is gone.
        PartCorrupt: a part is damaged.
        ValueError: the stream ends before.
    """
    prefix = layout.backup_prefix(repository.site, manifest.component, manifest.backup_id)
    key_id = manifest.encryption.key_id if manifest.encryption else None
    begins = 0
    for number, part in enumerate(manifest.stream(name).parts):
        if size and begins <= offset < begins + part.plain_bytes:
            plain = repository.read_sealed(layout.part_key(prefix, name, number), part, key_id=key_id)
            piece = memoryview(plain)[offset - begins :][:size]
            yield piece
            offset += len(piece)
            size -= len(piece)
        begins += part.plain_bytes
    if size:
        raise ValueError(f"stream {name} of {manifest.backup_id} ends {size} bytes before the range does")
