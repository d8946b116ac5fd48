"""The manifests of all shards put together into the one of the backup, as a stream."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

from lc2_backup_dagster.engines.files.capture.capture import FilesCapture
from lc2_backup_dagster.engines.files.capture.counts import Sampled
from lc2_backup_dagster.engines.files.capture.shard_results import ShardResult, merged_counts
from lc2_backup_dagster.engines.files.manifest.entry import STREAM
from lc2_backup_dagster.engines.files.manifest.entry_lines import entry_lines
from lc2_backup_dagster.engines.files.ports import CapturingAttempt, SiteObjects
from lc2_backup_dagster.model.errors import ManifestCorrupt
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import Moment
from lc2_backup_dagster.repository.layout import backup_prefix
from lc2_backup_dagster.repository.reading import StoredStream, StreamReader

_PIECE_BYTES = 1 << 20

_Line = tuple[str, bytes]


def merge_shards(attempt: CapturingAttempt, repository: SiteObjects, results: Sequence[ShardResult]) -> FilesCapture:
    """Write the one manifest of files from those of the shards, each part proven, each key looked at.

    Two streams are read at a time: that of the rest, and that of the prefix whose keys come next.

    Args:
        attempt: the running attempt; the caller commits it.
        repository: where the shards' streams are.
        results: of all shards, in their order, the rest last.

    Raises:
        ManifestCorrupt: a key is not in order or belongs to another shard, or a shard has not as many files as its
            result says.
        PartMissing: a part of a shard's stream is gone.
        PartCorrupt: a part of a shard's stream is damaged.
    """
    *cut, rest = results
    with attempt.stream_writer(STREAM) as manifest, _lines(repository, rest) as others:
        outgoing = bytearray()
        for _, line in _ascending(_in_order(repository, cut, others)):
            outgoing += line
            outgoing += b"\n"
            if len(outgoing) >= _PIECE_BYTES:
                manifest.write(bytes(outgoing))
                outgoing.clear()
        manifest.write(bytes(outgoing))
    captures = [result.capture for result in results]
    return FilesCapture(
        streams=(manifest.stream,),
        moment=Moment(
            min(each.moment.restorable_from for each in captures),
            max(each.moment.restorable_until for each in captures),
        ),
        last_begun=max(each.last_begun for each in captures),
        counts=merged_counts(captures),
        excluded=sum(each.excluded for each in captures),
        special=_together([each.special for each in captures]),
        listing_ordered=all(each.listing_ordered for each in captures),
        held=sum(each.held for each in captures),
        damaged_journals=tuple(sorted({key for each in captures for key in each.damaged_journals})),
        seconds=sum(each.seconds for each in captures),
    )


def _together(counted: Sequence[Sampled]) -> Sampled:
    total = Sampled()
    for each in counted:
        total.extend(each)
    return total


def _in_order(repository: SiteObjects, cut: Sequence[ShardResult], rest: Iterator[_Line]) -> Iterator[_Line]:
    waiting = next(rest, None)
    for result in cut:
        # A key of the rest does not begin with the prefix: it lies before all keys that do, or behind them.
        while waiting is not None and waiting[0] < result.shard.prefix:
            yield waiting
            waiting = next(rest, None)
        with _lines(repository, result) as lines:
            yield from lines
    while waiting is not None:
        yield waiting
        waiting = next(rest, None)


def _ascending(lines: Iterator[_Line]) -> Iterator[_Line]:
    last: str | None = None
    for key, line in lines:
        if last is not None and key <= last:
            raise ManifestCorrupt(f"the manifests of the shards are out of order: {key!r} after {last!r}")
        last = key
        yield key, line


@contextmanager
def _lines(repository: SiteObjects, result: ShardResult) -> Generator[Iterator[_Line]]:
    stored = StoredStream(
        repository.store,
        repository.sealer,
        prefix=backup_prefix(repository.site, Component.FILES, result.attempt_id),
        stream=result.stream,
        key_id=result.key_id,
    )
    with stored.open() as reader:
        yield _checked(reader, result)


def _checked(reader: StreamReader, result: ShardResult) -> Iterator[_Line]:
    name, count = result.stream.name, 0
    for found in entry_lines(reader, name=name):
        if found.key not in result.shard:
            raise ManifestCorrupt(f"{name} has {found.key!r}, which does not belong to {result.shard}")
        count += 1
        yield found.key, found.line
    counts = result.capture.counts
    promised = counts.objects + counts.links + counts.folders
    if count != promised:
        raise ManifestCorrupt(f"{name} has {count} lines, its result says {promised}")
