"""Long output, written as it comes: lines for people, JSON Lines for machines, and readers that have seen enough."""

import errno
import json
import os
import re
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NoReturn

from lc2_backup_dagster.cli.session import Session
from lc2_backup_dagster.engines.files.manifest.entry import FileEntry
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.repository.history import CommittedBackup

# Control characters, what some programs take for line ends, and halves of surrogate pairs: bytes that are no UTF-8.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FLUSH_SECONDS = 0.5
_ENCODE = json.JSONEncoder().encode


class ReaderGone(Exception):
    """Whoever read standard output has closed it."""


class Lines:
    """Writes lines to standard output; none waits longer than half a second for the next one.

    Every method raises ``ReaderGone`` when the reader has closed the pipe.
    """

    def __init__(self) -> None:
        self._flushed_at = time.monotonic()

    def text(self, line: str) -> None:
        """Write one line for people."""
        self._write(line + "\n")

    def json(self, fields: dict[str, Any]) -> None:
        """Write one JSON object in one line."""
        self._write(_ENCODE(fields) + "\n")

    def flush(self) -> None:
        """Write what waits."""
        try:
            sys.stdout.flush()
        except OSError as error:
            reader_gone(error)

    def _write(self, text: str) -> None:
        try:
            sys.stdout.write(text)
            now = time.monotonic()
            if now - self._flushed_at > _FLUSH_SECONDS:
                self._flushed_at = now
                sys.stdout.flush()
        except OSError as error:
            reader_gone(error)


@contextmanager
def printed_lines() -> Generator[Lines]:
    """Give a writer of lines; a reader that has seen enough (``… | head``) ends the block quietly."""
    lines = Lines()
    try:
        yield lines
        lines.flush()
    except ReaderGone:
        return


def reader_gone(error: OSError) -> NoReturn:
    """Tell a broken pipe at standard output from other failures to write there.

    Raises:
        ReaderGone: it is one.
        OSError: it is another failure, a full disk for instance.
    """
    if error.errno != errno.EPIPE:
        raise error
    # What is still in the buffer must not fail again when the interpreter ends.
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, sys.stdout.fileno())
    os.close(silence)
    raise ReaderGone from error


def key_text(key: str) -> str:
    """Return a key as people may see it: in one line, with nothing in it that a terminal would obey."""
    return _UNSHOWN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), key)


def number_of(count: int, noun: str) -> str:
    """Return how many there are of something: ``1 file``, ``2 files``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def time_text(moment: datetime) -> str:
    """Return a time to the second."""
    return to_text(moment)[:19] + "Z"


def file_fields(entry: FileEntry) -> dict[str, Any]:
    """Return a file for machines. ``sha256`` is null while it is pending."""
    return {
        "key": entry.key,
        "size_bytes": entry.size_bytes,
        "modified": to_text(entry.modified),
        "sha256": entry.sha256,
        "content_type": entry.content_type,
        "metadata": entry.metadata,
        "etag": entry.etag,
        "version": entry.version,
        "protection": str(entry.protection),
    }


def tell_if_partial(session: Session, *backups: CommittedBackup) -> None:
    """Say on standard error that a backup lacks what its source has; nobody takes it for whole (L-22)."""
    for backup in backups:
        if backup.summary.get("partial"):
            told = backup.summary
            lacks = f"{told.get('unreadable', 'some')} files of the source could not be read and are not in it"
            if "unexported" in told:
                lacks = f"{told['unexported']} items could not be exported and are not in it"
            session.messages.print(
                f"{backup.backup_id} is partial: {lacks}",
                markup=False,
            )
