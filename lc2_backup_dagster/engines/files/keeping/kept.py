"""What a capture kept for the rows of a dump, beside its listing; written down too, for a step that is run again."""

from dataclasses import asdict, dataclass, field
from typing import Any

from lc2_backup_dagster.engines.files.capture.counts import Sampled
from lc2_backup_dagster.engines.files.capture.documents import read_document, write_document
from lc2_backup_dagster.engines.files.ports import CapturingAttempt, SiteObjects
from lc2_backup_dagster.model.errors import ManifestCorrupt, PartCorrupt
from lc2_backup_dagster.model.site import Component, SiteId
from lc2_backup_dagster.repository.layout import backup_prefix
from lc2_backup_dagster.repository.parts import Part, Stream


@dataclass(frozen=True, slots=True)
class KeptFiles:
    """What was kept for rows, and what could not be.

    Attributes:
        dump_id: the dump whose rows these are.
        stream: the entries; None where nothing was kept.
        wanted: files that rows name and that the listing lacks, or has perhaps not as it was.
        from_backup: files taken over from the backup before.
        from_versions: files copied from versions of the source.
        lost: files that rows name, that the listing lacks and that nobody has, with the reason where there is one.
        objects_more: files that rows name and that are kept beyond those that were listed.
        bytes_more: what the kept files are longer than what was listed at their keys.
        copied_bytes: plain bytes that were copied.
        stored_bytes: what the repository grew by.
        unencrypted: kept copies for which the destination reports no encryption at rest.
        pending: kept copies whose bytes nobody has read yet.
        problem: why rows or versions could not be asked; empty when they could.
    """

    dump_id: str
    stream: Stream | None = None
    wanted: int = 0
    from_backup: int = 0
    from_versions: int = 0
    lost: Sampled = field(default_factory=Sampled)
    objects_more: int = 0
    bytes_more: int = 0
    copied_bytes: int = 0
    stored_bytes: int = 0
    unencrypted: int = 0
    pending: int = 0
    problem: str = ""


def write_kept(attempt: CapturingAttempt, repository: SiteObjects, kept: KeptFiles) -> KeptFiles:
    """Write down what was kept, or return what an earlier try of this step has written down.

    Raises:
        PartCorrupt: what lies there does not open.
        ManifestCorrupt: it is nothing that was kept.
    """
    body = asdict(kept)
    if kept.stream:
        parts = [
            [part.plain_bytes, part.stored_bytes, part.plain_sha256, part.stored_sha256] for part in kept.stream.parts
        ]
        body["stream"] = [kept.stream.name, parts]
    try:
        write_document(attempt, _key(repository.site, attempt.backup_id), body)
    except PartCorrupt:
        if (earlier := read_kept(repository, attempt.backup_id)) is None:
            raise
        return earlier
    return kept


def read_kept(repository: SiteObjects, attempt_id: str) -> KeptFiles | None:
    """Return what an attempt is known to have kept, or None when nothing was written down.

    Raises:
        PartCorrupt: it does not open.
        ManifestCorrupt: it is nothing that was kept.
    """
    key = _key(repository.site, attempt_id)
    body = read_document(repository, key)
    if body is None:
        return None
    try:
        return _from_body(body)
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestCorrupt(
            f"{key} in {repository.store.url} is no list of kept files: {error!r}", key=key
        ) from error


def _from_body(body: dict[str, Any]) -> KeptFiles:
    stream, lost = body["stream"], body["lost"]
    told: dict[str, Any] = {
        **body,
        "stream": Stream(stream[0], tuple(Part(*part) for part in stream[1])) if stream else None,
        "lost": Sampled(lost["count"], [(key, reason) for key, reason in lost["samples"]]),
    }
    return KeptFiles(**told)


def _key(site: SiteId, attempt_id: str) -> str:
    return f"{backup_prefix(site, Component.FILES, attempt_id)}shards/kept"
