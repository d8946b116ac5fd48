"""The ``backup_label`` of a base backup: where it starts, and what an increment stands on."""

import re
from dataclasses import dataclass

from lc2_backup_dagster.model.errors import IntegrityError
from lc2_backup_dagster.model.lsn import Lsn

LABEL_NAME = "backup_label"
_START = re.compile(r"^START WAL LOCATION: (\S+) ", re.MULTILINE)
_TIMELINE = re.compile(r"^START TIMELINE: (\d+)$", re.MULTILINE)
_FROM_LSN = re.compile(r"^INCREMENTAL FROM LSN: (\S+)$", re.MULTILINE)
_FROM_TIMELINE = re.compile(r"^INCREMENTAL FROM TLI: (\d+)$", re.MULTILINE)
_INCREMENTAL_LINE = re.compile(rb"^INCREMENTAL FROM (?:LSN|TLI): .*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class BackupLabel:
    """What recovery and chains need of a label.

    Attributes:
        start: where redo begins.
        incremental_from: ``start`` of the backup this one is an increment of; None for a full one.
    """

    start: Lsn
    incremental_from: Lsn | None


def parse_label(text: str) -> BackupLabel:
    """Read a label.

    Raises:
        IntegrityError: it does not say where redo begins.
    """
    start, timeline = _START.search(text), _TIMELINE.search(text)
    from_lsn, from_timeline = _FROM_LSN.search(text), _FROM_TIMELINE.search(text)
    try:
        if start is None or timeline is None or (from_lsn is None) != (from_timeline is None):
            raise ValueError("lines are missing")
        parent = None
        if from_lsn is not None and from_timeline is not None:
            parent = Lsn.parse(from_lsn[1], timeline=int(from_timeline[1]))
        return BackupLabel(Lsn.parse(start[1], timeline=int(timeline[1])), parent)
    except ValueError as error:
        raise IntegrityError(f"backup_label is unreadable: {error}: {text[:300]!r}") from error


def without_parent(content: bytes) -> bytes:
    """Return the label of a directory that was put together from a chain: a server refuses to start on an increment.

    Source: ``pg_combinebackup`` removes the same two lines.
    """
    return _INCREMENTAL_LINE.sub(b"", content)
