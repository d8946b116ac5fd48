"""One WAL object on its way into the repository: sealed, created, and proven, in three steps.

The steps are apart so that a writer with several objects in flight can seal and prove them at once and still create
them one after the other: then the archive never has a hole that a later object would show.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.errors import AlreadyExists, ObjectNotFound, PartCorrupt, WalDiverged
from lc2_backup_dagster.repository.canonical import sha256
from lc2_backup_dagster.repository.sealing import Sealer
from lc2_backup_dagster.repository.wal.header import Sample, WalHeader, WalSigner, encode_header, split_object


class WalUpload:
    """One object. Each step may be repeated after ``StoreUnavailable``.

    Args:
        store: the repository's store.
        sealer: the site's sealer.
        signer: signs the header.
        key: where the object will lie.
        what: names it in messages.
        plain: the content; let go once it is sealed.
        samples: what was observed within it.
        memory: a lock held by the steps that need several times the content's length; shared by uploads of one writer.
    """

    def __init__(
        self,
        store: ObjectStore,
        sealer: Sealer,
        signer: WalSigner,
        *,
        key: str,
        what: str,
        plain: bytes,
        samples: Sequence[Sample] = (),
        memory: AbstractContextManager[object] | None = None,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._signer = signer
        self.key = key
        self._what = what
        self._plain = plain
        self._samples = (samples[0], samples[-1]) if len(samples) > 1 else tuple(samples)
        self._plain_sha256 = ""
        self._body = b""
        self._memory = memory or nullcontext()
        self._was_there = False
        self._proven = False

    def seal(self) -> None:
        """Make the object's bytes; the plain ones are let go."""
        with self._memory:
            stored = self._sealer.seal(self._plain, key=self.key)
            self._plain_sha256 = sha256(self._plain)
            header = WalHeader(
                key_id=self._sealer.key_id,
                plain_bytes=len(self._plain),
                plain_sha256=self._plain_sha256,
                stored_bytes=len(stored),
                stored_sha256=sha256(stored),
                samples=self._samples,
            )
            self._plain = b""
            self._body = b"".join((encode_header(self._signer, header, key=self.key), stored))

    def create(self) -> None:
        """Write the object; where its key is taken, prove at once what is there.

        At once, because a writer goes on with the next object when this returns: nothing may follow a segment of
        another history.

        Raises:
            WalDiverged: the key was taken by other content.
            PartCorrupt: the object that was there is damaged.
            StoreUnavailable: nothing is known of the outcome; create again.
        """
        try:
            self._store.put(self.key, self._body)
        except AlreadyExists:
            # The same segment received again, or a create whose answer was lost.
            self._was_there = True
            self.prove()

    def prove(self) -> None:
        """Read the object back, decode it and compare (L-21). What is durable from then on may be confirmed.

        An object that is damaged, and is certainly this one, is replaced once: otherwise a store that damages one
        segment while taking it would stop the archive for good.

        Raises:
            WalDiverged: the key was taken by other content.
            PartCorrupt: the store gives back other bytes than were sent, or the object that was there is damaged.
            StoreUnavailable: prove it again.
        """
        if self._proven:
            return
        try:
            self._compare(self._stored())
        except PartCorrupt as error:
            # Once more: a damaged answer is no damaged object.
            if not self._is_of_ours(stored := self._stored()):
                raise
            try:
                self._compare(stored)
            except PartCorrupt:
                self._replace(error)
        self._body = b""
        self._proven = True

    def _stored(self) -> bytes | None:
        """Return what lies at the key; None when it is gone, perhaps by a replacement that broke off."""
        try:
            return self._store.get(self.key)
        except ObjectNotFound:
            return None

    def _compare(self, stored: bytes | None) -> None:
        if stored is None or (stored != self._body and not self._was_there):
            raise PartCorrupt(
                f"{self.key} in {self._store.url} was stored with other bytes than were sent", key=self.key
            )
        header, start = split_object(self._signer, stored, key=self.key)
        if header.plain_sha256 != self._plain_sha256:
            raise WalDiverged(
                f"{self._what} is archived already with other content: {self.key} in {self._store.url} has SHA-256 "
                f"{header.plain_sha256[:12]}…, the server sent {self._plain_sha256[:12]}…",
                hint="two servers, or two histories of one, write under the same name; find out which one is right "
                "before anything is deleted. Nothing was confirmed to the server",
                key=self.key,
            )
        with self._memory:
            open_sealed(self._sealer, header, stored[start:], key=self.key)

    def _is_of_ours(self, stored: bytes | None) -> bool:
        """Say whether a damaged object is certainly this content: just created here, or its signed header says so."""
        if stored is None or not self._was_there:
            return True
        try:
            return split_object(self._signer, stored, key=self.key)[0].plain_sha256 == self._plain_sha256
        except PartCorrupt:
            return False

    def _replace(self, error: PartCorrupt) -> None:
        """Put a damaged object anew: nothing can be restored from it, and while it lies there nothing is confirmed."""
        self._store.delete([self.key])
        try:
            self._store.put(self.key, self._body)
        except AlreadyExists:
            raise error from None  # somebody else was faster; it is for the next try to look at
        self._was_there = False
        self._compare(self._stored())


def open_sealed(sealer: Sealer, header: WalHeader, stored: bytes, *, key: str) -> bytes:
    """Prove and open the sealed bytes behind a header.

    Raises:
        PartCorrupt: not the bytes that the header promises.
    """
    if len(stored) != header.stored_bytes or sha256(stored) != header.stored_sha256:
        raise PartCorrupt(
            f"{key} is damaged: {len(stored)} sealed bytes, promised {header.stored_bytes} with SHA-256 "
            f"{header.stored_sha256[:12]}…",
            hint="look for the right object among the bucket's older versions",
            key=key,
        )
    plain = sealer.unseal(stored, key=key, key_id=header.key_id)
    if len(plain) != header.plain_bytes or sha256(plain) != header.plain_sha256:
        raise PartCorrupt(f"{key} decodes to other bytes than its header promises", key=key)
    return plain
