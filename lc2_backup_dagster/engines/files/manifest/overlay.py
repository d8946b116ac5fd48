"""The files of a recovery point: those that were listed, and over them those that were kept for its rows. Pure."""

from collections.abc import Iterable, Iterator

from lc2_backup_dagster.engines.files.manifest.entry_lines import EntryLine


def overlaid(listed: Iterable[EntryLine], kept: Iterable[EntryLine]) -> Iterator[EntryLine]:
    """Yield the lines of both, ascending by key; of a key that both have, the kept one.

    Args:
        listed: of the stream ``files``, ascending.
        kept: of the stream ``files.kept``, ascending.
    """
    waiting = iter(kept)
    over = next(waiting, None)
    for line in listed:
        while over is not None and over.key < line.key:
            yield over
            over = next(waiting, None)
        if over is not None and over.key == line.key:
            yield over
            over = next(waiting, None)
        else:
            yield line
    while over is not None:
        yield over
        over = next(waiting, None)
