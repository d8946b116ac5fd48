"""What the capture of one shard came to, written down for the step that commits.

A shard's part of the manifest is a stream of the attempt, its result a small document that names the stream's parts
with their hashes. Both mean nothing to a reader, and are garbage once the attempt has committed.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from lc2_backup_dagster.engines.files.capture.capture import FilesCapture
from lc2_backup_dagster.engines.files.capture.counts import CaptureCounts, Sampled
from lc2_backup_dagster.engines.files.capture.documents import read_document, write_document
from lc2_backup_dagster.engines.files.capture.shards import Shard, result_key
from lc2_backup_dagster.engines.files.ports import CapturingAttempt, SiteObjects
from lc2_backup_dagster.model.clock import from_text, to_text
from lc2_backup_dagster.model.errors import ConfigurationError, ManifestCorrupt, PartCorrupt
from lc2_backup_dagster.model.window import Moment
from lc2_backup_dagster.repository.parts import Part, Stream


@dataclass(frozen=True, slots=True)
class ShardResult:
    """A shard that was captured.

    Attributes:
        attempt_id: the attempt it was captured for.
        shard: which one.
        key_id: the data key of its stream.
        capture: what was captured; its one stream is the shard's part of the manifest.
    """

    attempt_id: str
    shard: Shard
    key_id: str | None
    capture: FilesCapture

    @property
    def stream(self) -> Stream:
        """The shard's part of the manifest."""
        (stream,) = self.capture.streams
        return stream


def write_result(attempt: CapturingAttempt, repository: SiteObjects, result: ShardResult) -> ShardResult:
    """Write a result down, or return the one that another try of this shard has written before.

    Raises:
        ManifestCorrupt: what lies there is no result of this shard.
    """
    try:
        write_document(attempt, result_key(repository.site, result.attempt_id, result.shard), _to_body(result))
    except PartCorrupt:
        # A process that had been given up was faster. Its files are whole and its own: one of the two counts.
        earlier = read_result(repository, result.attempt_id, result.shard)
        if earlier is None:
            raise
        return earlier
    return result


def read_result(repository: SiteObjects, attempt_id: str, shard: Shard) -> ShardResult | None:
    """Return the result of a shard, or None when there certainly is none.

    Raises:
        PartCorrupt: it does not open: it was changed, or is another attempt's.
        ManifestCorrupt: it is no result of this shard of this attempt.
    """
    key = result_key(repository.site, attempt_id, shard)
    body = read_document(repository, key)
    if body is None:
        return None
    try:
        result = _from_body(body)
    except (ValueError, KeyError, TypeError, ConfigurationError) as error:
        raise ManifestCorrupt(f"{key} in {repository.store.url} is no result: {error!r}", key=key) from error
    if (result.attempt_id, result.shard) != (attempt_id, shard):
        raise ManifestCorrupt(
            f"{key} in {repository.store.url} is the result of {result.shard} of attempt {result.attempt_id}",
            hint="somebody moved objects in the repository",
            key=key,
        )
    return result


def merged_counts(captures: Sequence[FilesCapture]) -> CaptureCounts:
    """Return the numbers of several captures together."""
    total = CaptureCounts()
    for capture in captures:
        for each in fields(CaptureCounts):
            mine, more = getattr(total, each.name), getattr(capture.counts, each.name)
            if isinstance(mine, Sampled):
                mine.extend(more)
            else:
                setattr(total, each.name, mine + more)
    return total


def _to_body(result: ShardResult) -> dict[str, Any]:
    capture = result.capture
    return {
        "attempt": result.attempt_id,
        "number": result.shard.number,
        "prefix": result.shard.prefix,
        "others": list(result.shard.others),
        "key_id": result.key_id,
        "stream": result.stream.name,
        "parts": [
            [part.plain_bytes, part.stored_bytes, part.plain_sha256, part.stored_sha256] for part in result.stream.parts
        ],
        "listed_from": to_text(capture.moment.restorable_from),
        "listed_until": to_text(capture.moment.restorable_until),
        "listing_ordered": capture.listing_ordered,
        "excluded": capture.excluded,
        "special": asdict(capture.special),
        "held": capture.held,
        "damaged_journals": list(capture.damaged_journals),
        "seconds": capture.seconds,
        "counts": asdict(capture.counts),
    }


def _from_body(body: dict[str, Any]) -> ShardResult:
    began = from_text(body["listed_from"])
    stream = Stream(body["stream"], tuple(Part(*part) for part in body["parts"]))
    return ShardResult(
        body["attempt"],
        Shard(body["number"], body["prefix"], tuple(body["others"])),
        body["key_id"],
        FilesCapture(
            streams=(stream,),
            moment=Moment(began, from_text(body["listed_until"])),
            last_begun=began,
            counts=CaptureCounts(**{name: _count(told) for name, told in body["counts"].items()}),
            excluded=body["excluded"],
            special=_count(body["special"]),
            listing_ordered=body["listing_ordered"],
            held=body["held"],
            damaged_journals=tuple(body["damaged_journals"]),
            seconds=body["seconds"],
        ),
    )


def _count(told: Any) -> Any:
    if isinstance(told, dict):
        return Sampled(told["count"], [(key, reason) for key, reason in told["samples"]])
    return told
