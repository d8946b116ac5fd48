"""One site's part of a repository: begin attempts, list backups, read them."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lc2_backup_dagster.clouds.keys import KeyWrapper
from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.clock import Clock, SystemClock
from lc2_backup_dagster.model.errors import ManifestCorrupt, ObjectNotFound, RecoveryPointNotFound
from lc2_backup_dagster.model.site import Component, SiteId
from lc2_backup_dagster.repository import canonical, layout
from lc2_backup_dagster.repository.attempt import Attempt, AttemptContext
from lc2_backup_dagster.repository.history import CommittedBackup, RunningAttempt
from lc2_backup_dagster.repository.keyring import open_keyring
from lc2_backup_dagster.repository.kit import put_kit
from lc2_backup_dagster.repository.log import CommitLog
from lc2_backup_dagster.repository.manifest import Manifest, decode_manifest
from lc2_backup_dagster.repository.marker import open_marker
from lc2_backup_dagster.repository.parts import DEFAULT_OPTIONS, Part, WriteOptions
from lc2_backup_dagster.repository.purge_lists import PurgeLists
from lc2_backup_dagster.repository.reading import StoredStream, StreamReader, read_sealed
from lc2_backup_dagster.repository.record import Initiator, Record, RecordType
from lc2_backup_dagster.repository.wal.archive import WalArchive, first_names
from lc2_backup_dagster.repository.wal.header import WalSigner

_CHUNK_BYTES = 1 << 20


class SiteRepository:
    """A repository as one site sees it. Safe to use from several threads.

    Attributes:
        repository_id: the repository's unique id.
        site: the site.
        store: the repository's store.
        log: the site's commit log.
        sealer: seals and opens the site's objects.
    """

    def __init__(self, context: AttemptContext, *, log_keys: Mapping[str, bytes] | None = None) -> None:
        self._context = context
        self._log_keys = log_keys or {}
        self.repository_id = context.repository_id
        self.site = context.site
        self.store = context.store
        self.log = context.log
        self.sealer = context.sealer

    def begin(
        self,
        component: Component,
        *,
        window: str | None,
        initiator: Initiator,
        bases: Sequence[str] = (),
        sleep: Callable[[float], None] = time.sleep,
    ) -> Attempt:
        """Return an attempt to be entered with ``with``; entering takes the component.

        Args:
            component: what will be captured.
            window: the window it means to fill, or None.
            initiator: who asks.
            bases: committed, unexpired backups whose shared files may be referenced.
            sleep: waits between looks at another attempt's heartbeat.
        """
        return Attempt(self._context, component, window=window, initiator=initiator, bases=bases, sleep=sleep)

    def join(self, running: RunningAttempt, *, initiator: Initiator) -> Attempt:
        """Return an attempt that another process began, for a further step of its work; to be entered with ``with``.

        Args:
            running: the attempt, as ``log.history().holder(component)`` names it.
            initiator: who carries out the step.
        """
        return Attempt.join(self._context, running, initiator=initiator)

    def backups(self, component: Component | None = None) -> list[CommittedBackup]:
        """Return committed, unexpired backups, oldest first."""
        return self.log.history().restorable(component)

    def backup(self, backup_id: str) -> CommittedBackup:
        """Return one committed backup.

        Raises:
            RecoveryPointNotFound: the log names no such backup, or it has expired.
        """
        found = self.log.history().backups.get(backup_id)
        if found is None or found.expired_at is not None:
            newest = [each.backup_id for each in self.backups()][-3:]
            hint = f"the newest are {', '.join(newest)}" if newest else "no backup was committed yet"
            state = "has expired" if found else "does not exist"
            raise RecoveryPointNotFound(f"backup {backup_id} of {self.site} {state}", hint=hint, backup_id=backup_id)
        return found

    def manifest(self, backup_id: str) -> Manifest:
        """Read the manifest of a committed backup and prove it against the log.

        Raises:
            RecoveryPointNotFound: the log names no such backup.
            ManifestCorrupt: gone, or other bytes than the log promises.
        """
        return self.manifest_of(self.backup(backup_id))

    def manifest_of(self, backup: CommittedBackup) -> Manifest:
        """Read the manifest of a backup that the log was just asked for, expired or not, and prove it against the log.

        Raises:
            ManifestCorrupt: gone, or other bytes than the log promises.
        """
        key = layout.manifest_key(self.site, backup.component, backup.backup_id)
        try:
            data = self.store.get(key)
        except ObjectNotFound as error:
            raise ManifestCorrupt(f"{key} is gone from {self.store.url}", key=key) from error
        if canonical.sha256(data) != backup.manifest_sha256:
            raise ManifestCorrupt(
                f"{key} in {self.store.url} is not the manifest that the log names",
                hint="restore another point",
                key=key,
            )
        return decode_manifest(data, where=key)

    def open_stream(self, manifest: Manifest, name: str) -> StreamReader:
        """Return a reader of one stream of a backup, to be left with ``close`` or ``with``."""
        return self.stored_stream(manifest, name).open()

    def stored_stream(self, manifest: Manifest, name: str) -> StoredStream:
        """Return one stream of a backup, of which ranges can be read."""
        return StoredStream(
            self.store,
            self.sealer,
            prefix=layout.backup_prefix(self.site, manifest.component, manifest.backup_id),
            stream=manifest.stream(name),
            key_id=manifest.encryption.key_id if manifest.encryption else None,
        )

    def save_stream(self, manifest: Manifest, name: str, target: Path) -> None:
        """Write one stream of a backup into a file."""
        with self.open_stream(manifest, name) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, _CHUNK_BYTES)

    def read_sealed(self, key: str, part: Part, *, key_id: str | None) -> bytes:
        """Fetch, prove and open one object written with ``Attempt.put_sealed``."""
        return read_sealed(self.store, self.sealer, key, part, key_id=key_id)

    @property
    def purge_lists(self) -> PurgeLists:
        """What purges of the site wrote down."""
        return PurgeLists(self.store, self.sealer, self.site)

    def wal(self, system_identifier: str) -> WalArchive:
        """Return the archived WAL of one database system of the site; it may be empty."""
        signer = WalSigner(repository_id=self.repository_id, key_id=self.sealer.key_id, log_keys=self._log_keys)
        return WalArchive(
            self.store, site=self.site, system_identifier=system_identifier, sealer=self.sealer, signer=signer
        )

    def wal_systems(self) -> list[str]:
        """Return the identifiers of the database systems whose WAL is archived here."""
        return [name for name in first_names(self.store, layout.wal_prefix(self.site)) if name.isdecimal()]

    def tell(self, type: RecordType, *, initiator: Initiator, body: dict[str, Any]) -> Record:
        """Append a record that changes no state: a restore that was carried out, a request that was refused."""
        return self.log.append(type, initiator=initiator, decide=lambda history: body)


def open_site_repository(
    store: ObjectStore,
    site: SiteId,
    *,
    wrapper: KeyWrapper | None,
    create: bool,
    clock: Clock | None = None,
    options: WriteOptions = DEFAULT_OPTIONS,
    compression_level: int = 3,
) -> SiteRepository:
    """Open a site's part of the repository in a store.

    Nothing is written unless ``create`` is set and the repository, or the site's first data key, does not exist yet.

    Args:
        store: where the repository lies.
        site: which site.
        wrapper: the site's key-encryption key, or None where encryption is off.
        create: whether a new repository or a first key may be made.
        clock: stamps records.
        options: how streams are written.
        compression_level: level of zstd.

    Raises:
        WrongKey: the key does not open the site's data keys.
        RecoveryPointNotFound: there is no repository and ``create`` is not set.
        FormatNotSupported: the repository is of a newer format.
    """
    clock = clock or SystemClock()
    repository_id = open_marker(store, clock=clock, create=create)
    keyring = open_keyring(
        store,
        site,
        repository_id=repository_id,
        wrapper=wrapper,
        clock=clock,
        create=create,
        compression_level=compression_level,
    )
    if create:
        put_kit(store)  # after the keys: a wrong key stops everything before any byte is written
    log = CommitLog(
        store,
        site,
        repository_id=repository_id,
        clock=clock,
        key_id=keyring.sealer.key_id,
        log_keys=keyring.log_keys,
        signed_from=keyring.signed_from,
    )
    return SiteRepository(
        AttemptContext(store, site, repository_id, log, keyring.sealer, clock, options), log_keys=keyring.log_keys
    )
