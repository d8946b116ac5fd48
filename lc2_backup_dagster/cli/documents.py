"""Documents of the configuration for ``diff``, ``ls`` and ``cat``, which show files otherwise."""

import sys
from dataclasses import asdict

import click

from lc2_backup_dagster.cli.printed import key_text, number_of, printed_lines, tell_if_partial
from lc2_backup_dagster.cli.session import Session, size_text
from lc2_backup_dagster.engines.exports.comparing import ChangeCounts
from lc2_backup_dagster.engines.exports.document_changes import DocumentChanges
from lc2_backup_dagster.operations.browse.stored_exports import (
    changes_between,
    compare_exports,
    export_backup,
    stored_export,
)

FILES = "files"
CONFIGURATION = "configuration"

component_option = click.option(
    "--component",
    type=click.Choice([FILES, CONFIGURATION]),
    default=FILES,
    show_default=True,
    help="What of the backup: its files, or the documents of its configuration.",
)


def diff_documents(session: Session, site: str, first: str, second: str, *, below: str, only_totals: bool) -> None:
    """Print what differs between two exports, document by document."""
    repository = session.open(site).open_repository(False)
    old, new = export_backup(repository, first), export_backup(repository, second)
    tell_if_partial(session, old, new)
    with printed_lines() as out:
        if only_totals:
            counts = changes_between(repository, old, new, prefix=below).counts
        else:
            counts = ChangeCounts()
            for each in compare_exports(repository, old, new, prefix=below):
                counts.count(each.kind)
                if session.as_json:
                    out.json({"type": str(each.kind), **_fields(each)})
                else:
                    for line in each.text():
                        out.text(line)
        if session.as_json:
            out.json({"type": "totals", "from": old.backup_id, "to": new.backup_id, **asdict(counts)})
        else:
            told = f"{counts.added} added, {counts.removed} removed, {counts.changed} changed"
            out.text(told if counts.total else "no document differs")


def _fields(each: DocumentChanges) -> dict[str, object]:
    return {
        "path": each.path,
        "keys": None if each.keys is None else [asdict(key) for key in each.keys],
        "lines": each.lines,
        "note": each.note,
    }


def list_documents(session: Session, site: str, backup: str, *, prefix: str, as_long: bool) -> None:
    """Print the documents of an export."""
    repository = session.open(site).open_repository(False)
    found = export_backup(repository, backup)
    tell_if_partial(session, found)
    count = size_bytes = 0
    with printed_lines() as out:
        for entry in stored_export(repository, found).entries():
            if not entry.path.startswith(prefix):
                continue
            count += 1
            size_bytes += entry.size_bytes
            if session.as_json:
                out.json(
                    {"type": "document", "path": entry.path, "size_bytes": entry.size_bytes, "sha256": entry.sha256}
                )
            elif as_long:
                out.text(f"{entry.size_bytes:>15}  {entry.sha256}  {key_text(entry.path)}")
            else:
                out.text(f"{size_text(entry.size_bytes):>11}  {key_text(entry.path)}")
        out.flush()
        if not session.as_json:
            told = f"{number_of(count, 'document')}, {size_text(size_bytes)}, of {found.backup_id}"
            session.messages.print(told, markup=False)


def print_document(session: Session, site: str, backup: str, path: str) -> None:
    """Write one document to standard output; it was proven before."""
    repository = session.open(site).open_repository(False)
    export = stored_export(repository, export_backup(repository, backup))
    sys.stdout.buffer.write(export.read(export.find(path)))
    sys.stdout.buffer.flush()
