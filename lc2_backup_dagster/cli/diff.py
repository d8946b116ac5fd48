"""``diff``: what lies between two backups."""

from dataclasses import asdict
from typing import Any

import click

from lc2_backup_dagster.cli.documents import CONFIGURATION, component_option, diff_documents
from lc2_backup_dagster.cli.printed import file_fields, key_text, printed_lines, tell_if_partial
from lc2_backup_dagster.cli.session import Session, pass_session, size_text
from lc2_backup_dagster.engines.files.manifest.differences import Difference, DifferenceTotals, What
from lc2_backup_dagster.operations.browse.compare_files import compare_files
from lc2_backup_dagster.operations.browse.stored_files import files_backup, members_named

_MARKS = {What.ADDED: "+", What.REMOVED: "-", What.CONTENT: "M", What.METADATA: "U", What.TIME: "T"}


@click.command()
@click.argument("site")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--below", default="", metavar="PREFIX", help="Only files and documents whose name begins with this text."
)
@component_option
@click.option("--stat", "only_totals", is_flag=True, help="Only counts and bytes.")
@pass_session
def diff(session: Session, site: str, first: str, second: str, below: str, component: str, only_totals: bool) -> None:
    """Show what differs in the files, or the configuration, of SITE from backup A to backup B.

    A and B are recovery points, backups of the component, or 'latest'. Of files, a line each: + only in B, - only in A,
    M other bytes, U equal bytes with another content type or metadata, T written again at another time. Bytes are
    compared by SHA-256; while one is pending, by what the source said of the file. At the end counts and bytes. With
    --json every line is one JSON object, the last one has type 'totals'.

    With --component configuration every document that differs is shown with the keys (YAML, JSON) or lines that do;
    values that look secret are hidden.
    """
    if component == CONFIGURATION:
        diff_documents(session, site, first, second, below=below, only_totals=only_totals)
        return
    repository = session.open(site).open_repository(False)
    old, new = files_backup(repository, first), files_backup(repository, second)
    tell_if_partial(session, old, new)
    totals = DifferenceTotals()
    members = members_named(repository, first), members_named(repository, second)
    with (
        printed_lines() as out,
        compare_files(repository, old, new, totals, prefix=below, members=members) as found,
    ):
        for each in found:
            if only_totals:
                continue
            if session.as_json:
                out.json(_fields(each))
            else:
                out.text(_sentence(each))
        if session.as_json:
            out.json({"type": "totals", "from": old.backup_id, "to": new.backup_id, **asdict(totals)})
        else:
            for line in _totals(totals):
                out.text(line)


def _sentence(each: Difference) -> str:
    size = _sizes(each)
    return f"{_MARKS[each.what]}  {size:>24}  {key_text(each.key)}"


def _sizes(each: Difference) -> str:
    if each.old is not None and each.new is not None and each.old.size_bytes != each.new.size_bytes:
        return f"{size_text(each.old.size_bytes)} → {size_text(each.new.size_bytes)}"
    entry = each.new or each.old
    assert entry is not None
    return size_text(entry.size_bytes)


def _fields(each: Difference) -> dict[str, Any]:
    return {
        "type": str(each.what),
        "key": each.key,
        "old": file_fields(each.old) if each.old else None,
        "new": file_fields(each.new) if each.new else None,
    }


def _totals(totals: DifferenceTotals) -> list[str]:
    sign = "-" if totals.grown_bytes < 0 else "+"
    return [
        f"added      {totals.added:>10}  {size_text(totals.added_bytes):>11}",
        f"removed    {totals.removed:>10}  {size_text(totals.removed_bytes):>11}",
        f"modified   {totals.content:>10}  {size_text(totals.content_bytes):>11}",
        f"metadata   {totals.metadata:>10}",
        f"time       {totals.time:>10}",
        f"unchanged  {totals.unchanged:>10}  {size_text(totals.unchanged_bytes):>11}",
        f"in all     {'':>10}  {sign + size_text(abs(totals.grown_bytes)):>11}",
    ]
