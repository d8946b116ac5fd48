"""``ls``: which files a backup holds."""

import click

from lc2_backup_dagster.cli.documents import CONFIGURATION, component_option, list_documents
from lc2_backup_dagster.cli.printed import (
    Lines,
    file_fields,
    key_text,
    number_of,
    printed_lines,
    tell_if_partial,
    time_text,
)
from lc2_backup_dagster.cli.session import Session, pass_session, size_text
from lc2_backup_dagster.engines.files.manifest.entry_lines import EntryLine
from lc2_backup_dagster.engines.files.manifest.levels import Folder, one_level
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.errors import ObjectNotFound
from lc2_backup_dagster.operations.browse.stored_files import files_backup, members_named, stored_lines


@click.command()
@click.argument("site")
@click.argument("backup")
@click.argument("prefix", default="")
@click.option("--recursive", is_flag=True, help="Every file, at any depth, instead of one level with folders summed.")
@click.option("--long", "as_long", is_flag=True, help="Exact size, time, SHA-256 and content type too.")
@component_option
@pass_session
def ls(session: Session, site: str, backup: str, prefix: str, recursive: bool, as_long: bool, component: str) -> None:
    """List the files, or the documents of the configuration, of BACKUP of SITE whose name begins with PREFIX.

    BACKUP is a recovery point (then files are as of its moment), a backup of the component, or 'latest'. Documents are
    listed at any depth. Of files, one level is shown: a folder with the number and size of all files below it. PREFIX
    is text: 'docs/' shows what lies in the folder, 'docs' the folder itself and all that begins like it. Files are
    printed as they are read; reading begins near PREFIX. The SHA-256 of a file that the store itself copied is
    'pending' until its bytes were read. With --json every line is one JSON object.
    """
    if component == CONFIGURATION:
        list_documents(session, site, backup, prefix=prefix, as_long=as_long)
        return
    repository = session.open(site).open_repository(False)
    found = files_backup(repository, backup)
    tell_if_partial(session, found)
    shown = files = size_bytes = 0
    members = members_named(repository, backup)
    with printed_lines() as out, stored_lines(repository, found, prefix=prefix, members=members) as lines:
        for each in lines if recursive else one_level(lines, prefix=prefix):
            shown += 1
            files += each.files if isinstance(each, Folder) else 1
            size_bytes += each.size_bytes
            _print(out, each, as_json=session.as_json, as_long=as_long)
        if prefix and not shown:
            raise ObjectNotFound(
                f"no file of {found.backup_id} begins with {prefix!r}", hint="lc2-backup find looks in every backup"
            )
        out.flush()
        if not session.as_json:
            told = f"{number_of(files, 'file')}, {size_text(size_bytes)}, of {found.backup_id}"
            session.messages.print(told, markup=False)


def _print(out: Lines, each: EntryLine | Folder, *, as_json: bool, as_long: bool) -> None:
    if isinstance(each, Folder):
        if as_json:
            newest = to_text(each.modified)
            out.json(
                {"type": "folder", "key": each.key, "size_bytes": each.size_bytes, "files": each.files,
                 "modified": newest}
            )  # fmt: skip
        elif as_long:
            count = number_of(each.files, "file")
            out.text(f"{each.size_bytes:>15}  {time_text(each.modified)}  {count:<64}  {'':<24}  {key_text(each.key)}")
        else:
            out.text(f"{size_text(each.size_bytes):>11}  {number_of(each.files, 'file'):>15}  {key_text(each.key)}")
    elif as_json:
        out.json({"type": "file", **file_fields(each.entry())})
    elif as_long:
        entry = each.entry()
        out.text(
            f"{entry.size_bytes:>15}  {time_text(entry.modified)}  {entry.sha256 or 'pending':<64}  "
            f"{key_text(entry.content_type or '—'):<24}  {key_text(entry.key)}"
        )
    else:
        out.text(f"{size_text(each.size_bytes):>11}  {'':>15}  {key_text(each.key)}")
