"""The manifests of a chain: read and proven before anything is restored; the result's is written from them."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lc2_backup_dagster.engines.postgres.base.backup_label import LABEL_NAME
from lc2_backup_dagster.engines.postgres.base.backup_manifest import (
    MANIFEST_NAME,
    ManifestFile,
    manifest_files,
    read_manifest,
)
from lc2_backup_dagster.engines.postgres.base.checksums import file_checksum
from lc2_backup_dagster.engines.postgres.restore.chain_plan import plan_chain
from lc2_backup_dagster.engines.postgres.restore.increments import final_path
from lc2_backup_dagster.engines.postgres.restore.manifest_writer import write_manifest
from lc2_backup_dagster.engines.postgres.restore.tablespaces import MAP_NAME
from lc2_backup_dagster.engines.postgres.restore.target_directory import CONTROL, UNFINISHED
from lc2_backup_dagster.engines.postgres.servers.account import Account, give_to
from lc2_backup_dagster.model.errors import ChainBroken, IntegrityError

if TYPE_CHECKING:
    from lc2_backup_dagster.engines.postgres.restore.unpack import Unpacking


class ChainManifests:
    """What the manifests of a chain say together.

    Args:
        paths: the manifests, oldest backup first.
        names: the backups' names, for messages.
        system_identifier: of the cluster, or None to believe the manifests.

    Attributes:
        planned: path → where the result's file comes from.

    Raises:
        IntegrityError: a manifest is damaged or of another cluster.
        ChainBroken: the backups do not stand on each other.
    """

    def __init__(self, paths: Sequence[Path], *, names: Sequence[str], system_identifier: str | None) -> None:
        self._paths = paths
        manifests = [read_manifest(path) for path in paths]
        for manifest, name in zip(manifests, names, strict=True):
            told = manifest.system_identifier
            system_identifier = system_identifier or told
            if told is not None and told != system_identifier:
                raise ChainBroken(f"the manifest of {name} is of system {told}, expected {system_identifier}")
        self._newest = manifests[-1]
        self.planned = plan_chain([manifest_files(path) for path in paths], names=names)
        # The links are made by the restore; a server that found the map would make those of the original server.
        self._has_map = self.planned.pop(MAP_NAME, None) is not None

    @property
    def prove_content(self) -> bool:
        """Whether every file has a checksum of the server's, in each backup that it comes from; WAL has its own."""
        return all(
            each.checksum is not None and each.algorithm not in (None, "NONE")
            for file in self.planned.values()
            for each in (file.whole, *file.increments)
        )

    def write_result(self, target: Path, *, unpacking: "Unpacking", account: Account | None) -> None:
        """Write ``backup_manifest`` into the restored directory: the server's own where it says all, else a new one."""
        path = target / MANIFEST_NAME
        path.unlink(missing_ok=True)
        if len(self._paths) == 1 and not self._has_map:
            shutil.copyfile(self._paths[0], path)
        else:
            write_manifest(path, self._result(unpacking), like=self._newest)
        path.chmod(0o600)
        give_to(account, path)

    def _result(self, unpacking: "Unpacking") -> Iterator[tuple[ManifestFile, int]]:
        rewritten = {LABEL_NAME} if len(self._paths) > 1 else set[str]()
        for listed in manifest_files(self._paths[-1]):
            name = final_path(listed.path)[0] if len(self._paths) > 1 else listed.path
            planned = self.planned.get(name)
            if planned is None:
                continue  # WAL is not part of a manifest, the tablespace map is not restored
            file = planned.whole
            place = unpacking.place(name if name != CONTROL else CONTROL + UNFINISHED)
            if name in rewritten:
                size, checksum = file_checksum(place, file.algorithm)
                file = replace(file, size=size, checksum=checksum)
            elif not planned.is_known:
                size, checksum = unpacking.results[name]
                file = replace(file, size=size, checksum=checksum)
            if place.stat().st_size != file.size:
                raise IntegrityError(f"{place} has not the {file.size} bytes that were written")
            yield replace(file, path=name), unpacking.modified.get(name, 0)
