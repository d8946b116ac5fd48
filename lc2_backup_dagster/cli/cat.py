"""``cat``: one file of a backup, to standard output."""

import codecs
import re
import sys

import click

from lc2_backup_dagster.cli.documents import CONFIGURATION, component_option, print_document
from lc2_backup_dagster.cli.printed import ReaderGone, reader_gone
from lc2_backup_dagster.cli.session import EXIT_FAILED, Session, pass_session
from lc2_backup_dagster.operations.browse.read_file import read_file

# Whatever a terminal would take for more than text; tab, line feed, form feed and carriage return are text.
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")


@click.command()
@click.argument("site")
@click.argument("backup")
@click.argument("key")
@click.option("--force", is_flag=True, help="Write to a terminal what is not text, too.")
@component_option
@pass_session
def cat(session: Session, site: str, backup: str, key: str, force: bool, component: str) -> None:
    """Write the file, or the document, KEY of BACKUP of SITE to standard output, byte for byte.

    BACKUP is a recovery point, a backup of the component, or 'latest'. The last bytes (all of a file up to 8 MiB) are
    written only after everything was proven: damage ends with code 4, and then the output is not whole.
    """
    if component == CONFIGURATION:
        print_document(session, site, backup, key)
        return
    file = read_file(session.open(site).open_repository(False), backup, key)
    out, text = sys.stdout.buffer, _Text()
    guarded = sys.stdout.isatty() and not force
    try:
        for piece in file.pieces:
            if guarded and not text.goes_on(piece):
                raise click.UsageError(
                    f"{key!r} is not text and standard output is a terminal; write it to a file, or say --force"
                )
            try:
                out.write(piece)
                out.flush()
            except OSError as error:
                reader_gone(error)
    except ReaderGone:
        # Not all was taken, so nothing was proven to whoever took it.
        sys.exit(EXIT_FAILED)


class _Text:
    """Says piece by piece whether a content is text; a character may be cut in two where pieces meet."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def goes_on(self, piece: bytes) -> bool:
        try:
            return _NOT_TEXT.search(self._decoder.decode(piece)) is None
        except UnicodeDecodeError:
            return False
