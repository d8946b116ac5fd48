"""The backups of a chain as the engine restores them, proven to stand on each other before a byte is fetched."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from lc2_backup_dagster.engines.postgres.base.backup_label import BackupLabel, parse_label
from lc2_backup_dagster.engines.postgres.base.stream_names import MANIFEST_STREAM, TAR_STREAM, archive_stream
from lc2_backup_dagster.engines.postgres.restore.base import StoredBase
from lc2_backup_dagster.engines.postgres.restore.increments import PAGE_BYTES
from lc2_backup_dagster.model.errors import ChainBroken, ConfigurationError
from lc2_backup_dagster.operations.chains import Chain
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.site import SiteRepository

_AT_ONCE = 4


def manifests_of(repository: SiteRepository, chain: Chain) -> list[Manifest]:
    """Read the manifests of a chain and prove that each backup stands on the one before it.

    Raises:
        ChainBroken: one is of another cluster, misses a stream, or stands on something else.
        ConfigurationError: its pages have another size than is supported.
        ManifestCorrupt: one is gone or damaged.
    """
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="manifests") as pool:
        manifests = list(pool.map(repository.manifest_of, chain.members))
    parent: tuple[Manifest, BackupLabel] | None = None
    for manifest in manifests:
        label = parse_label(manifest.details["backup_label"])
        _require_streams(manifest, alone=len(manifests) == 1)
        if manifest.details.get("page_bytes", PAGE_BYTES) != PAGE_BYTES:
            raise ConfigurationError(f"{manifest.backup_id} has pages of {manifest.details['page_bytes']} bytes")
        if parent is None:
            if label.incremental_from is not None:
                raise ChainBroken(f"{manifest.backup_id} is an increment, and nothing it stands on is named")
        elif manifest.details["system_identifier"] != parent[0].details["system_identifier"]:
            raise ChainBroken(f"{manifest.backup_id} and its parent {parent[0].backup_id} are of different clusters")
        elif manifest.parent != parent[0].backup_id or label.incremental_from != parent[1].start:
            raise ChainBroken(
                f"{manifest.backup_id} is an increment from {label.incremental_from}, its parent "
                f"{parent[0].backup_id} starts at {parent[1].start}",
                hint="restore another backup",
            )
        parent = manifest, label
    return manifests


def stored_chain(repository: SiteRepository, manifests: Sequence[Manifest]) -> list[StoredBase]:
    """Return the backups as ``restore_chain`` takes them."""
    return [_stored(repository, each) for each in manifests]


def tablespaces_of(manifest: Manifest) -> dict[int, str]:
    """Return the tablespaces of a base backup: oid → directory on the original server."""
    return {int(each["oid"]): str(each["location"]) for each in manifest.details.get("tablespaces", [])}


def _stored(repository: SiteRepository, manifest: Manifest) -> StoredBase:
    streams = {name: repository.stored_stream(manifest, name) for name in manifest.streams}
    indexes = frozenset(name for name in streams if name.endswith(".index"))
    return StoredBase(
        manifest.backup_id,
        {name: each.stream.plain_bytes for name, each in streams.items() if name not in indexes},
        lambda name: streams[name].open(),
        tablespaces=tablespaces_of(manifest),
        system_identifier=str(manifest.details["system_identifier"]),
        open_range=lambda name, start, end: streams[name].open(start=start, end=end, prove_plain=False),
        indexes=indexes,
    )


def _require_streams(manifest: Manifest, *, alone: bool) -> None:
    needed = [TAR_STREAM, *(archive_stream(oid) for oid in tablespaces_of(manifest))]
    if not alone:
        needed.append(MANIFEST_STREAM)
    for name in needed:
        if name not in manifest.streams:
            raise ChainBroken(f"{manifest.backup_id} has no stream {name}", hint="restore another backup")
