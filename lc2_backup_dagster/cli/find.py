"""``find``: which versions of a file there are, and in which backups."""

import re
from typing import Any

import click
from rich.status import Status

from lc2_backup_dagster.cli.printed import key_text, number_of, printed_lines, tell_if_partial, time_text
from lc2_backup_dagster.cli.session import Session, pass_session, size_text
from lc2_backup_dagster.model.clock import from_text, to_text
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.browse.find_files import FileVersion, Wanted, find_versions
from lc2_backup_dagster.operations.browse.stored_files import files_backup
from lc2_backup_dagster.repository.history import CommittedBackup

_UNITS = {unit: 1024**power for power, unit in enumerate(["B", "K", "M", "G", "T"])}
_SIZE = re.compile(r"([0-9]+)(?:([KMGT])(?:iB)?|B)?")


@click.command()
@click.argument("site")
@click.argument("globs", nargs=-1, required=True, metavar="GLOB...")
@click.option("--backup", "names", multiple=True, metavar="ID", help="Only in this backup; may be repeated. "
              "[default: every backup of files that is kept]")  # fmt: skip
@click.option("--since", metavar="TIME", help="Only versions modified then or later, like 2026-11-23T00:00:00Z.")
@click.option("--until", metavar="TIME", help="Only versions modified then or earlier.")
@click.option("--size", "sizes", metavar="SIZE", help="Only versions of this size: +1MiB for at least, -1MiB for at "
              "most, 1KiB..1MiB for between, 1024 for exactly.")  # fmt: skip
@pass_session
def find(
    session: Session,
    site: str,
    globs: tuple[str, ...],
    names: tuple[str, ...],
    since: str | None,
    until: str | None,
    sizes: str | None,
) -> None:
    """Find files of SITE whose whole key matches a GLOB, in every backup that is kept, from the newest on.

    '*' is any text, slashes included. Of each file every version is told: its size, when it was modified, its
    SHA-256, and the backups that hold it. `lc2-backup cat` prints one, `lc2-backup restore --key` brings it back. With
    --json every line is one JSON object.
    """
    smallest, largest = _size_range(sizes) if sizes else (0, None)
    wanted = Wanted(
        globs,
        since=from_text(since) if since else None,
        until=from_text(until) if until else None,
        smallest_bytes=smallest,
        largest_bytes=largest,
    )
    context = session.open(site)
    repository = context.open_repository(False)
    chosen = [files_backup(repository, name) for name in names] or repository.backups(Component.FILES)
    backups = sorted({each.backup_id: each for each in chosen}.values(), key=lambda each: each.sequence, reverse=True)
    tell_if_partial(session, *backups)
    versions = keys = 0
    last: str | None = None
    with session.messages.status("reading") as status, printed_lines() as out:
        if not session.messages.is_terminal or session.as_json:
            status.stop()
        scratch = context.database.scratch_directory
        for found in find_versions(
            repository, backups, wanted, scratch=scratch, reading=lambda each: _tell(status, each)
        ):
            status.stop()
            versions, keys = versions + 1, keys + (found.key != last)
            if session.as_json:
                out.json(_fields(found))
            else:
                if found.key != last:
                    out.text(key_text(found.key))
                out.text(_sentence(found))
            last = found.key
        out.flush()
        status.stop()
        if not session.as_json:
            told = (
                f"{number_of(versions, 'version')} of {number_of(keys, 'file')} in {number_of(len(backups), 'backup')}"
            )
            session.messages.print(told, markup=False)


def _tell(status: Status, backup: CommittedBackup) -> None:
    status.update(f"reading {backup.backup_id}")


def _sentence(found: FileVersion) -> str:
    newest, oldest = found.backups[0], found.backups[-1]
    where = newest if newest == oldest else f"{len(found.backups)} backups, {oldest} to {newest}"
    digest = found.sha256 or "SHA-256 pending"
    return f"  {size_text(found.size_bytes):>11}  {time_text(found.modified)}  {digest}  in {where}"


def _fields(found: FileVersion) -> dict[str, Any]:
    return {
        "key": found.key,
        "size_bytes": found.size_bytes,
        "modified": to_text(found.modified),
        "sha256": found.sha256,
        "etag": found.etag,
        "version": found.version,
        "first_backup": found.backups[-1],
        "last_backup": found.backups[0],
        "backups": list(found.backups),
    }


def _size_range(text: str) -> tuple[int, int | None]:
    """Read ``+1MiB``, ``-1MiB``, ``1KiB..1MiB`` or ``1024``."""
    low, dots, high = text.partition("..")
    if dots:
        return _size(low, text), _size(high, text)
    if text.startswith("+"):
        return _size(text[1:], text), None
    if text.startswith("-"):
        return 0, _size(text[1:], text)
    return _size(text, text), _size(text, text)


def _size(text: str, whole: str) -> int:
    read = _SIZE.fullmatch(text)
    if read is None:
        raise click.UsageError(f"--size '{whole}' is not a size; write +1MiB, -1MiB, 1KiB..1MiB or 1024")
    return int(read[1]) * _UNITS[read[2] or "B"]
