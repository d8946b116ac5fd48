"""Check, without changing anything, that everything a site needs can be reached: all findings at once."""

from collections.abc import Callable
from dataclasses import dataclass

from lc2_backup_dagster.clouds.store import PosixKind
from lc2_backup_dagster.engines.postgres.servers.preflight import check_server, server_major
from lc2_backup_dagster.engines.postgres.servers.tools import find_tools
from lc2_backup_dagster.model.errors import BackupError, RecoveryPointNotFound
from lc2_backup_dagster.operations.site_context import SiteContext


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found.

    Attributes:
        subject: what was looked at.
        ok: whether a backup can succeed as far as this goes.
        message: what was found, with the remedy when it is not ok.
    """

    subject: str
    ok: bool
    message: str


def check_site(context: SiteContext) -> list[Finding]:
    """Look at database, files and repository of a site; one finding each, never an exception of ours."""
    found = [_look("database", lambda: _database(context))]
    if context.library is not None:
        found.append(_look("files", lambda: _files(context)))
    return [*found, _look("repository", lambda: _repository(context))]


def _look(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, ok=True, message=look())
    except BackupError as error:
        return Finding(subject, ok=False, message=str(error))


def _database(context: SiteContext) -> str:
    access = context.database
    tools = find_tools(access.tools_directory, at_least_major=server_major(access.server))
    facts = check_server(access.server, tools, physical=False, dump=True)
    check_server(access.replication, tools, physical=True, dump=False)
    checksums = "on" if facts.checksums_on else "OFF (damaged pages are noticed late: pg_checksums --enable)"
    return (
        f"PostgreSQL {facts.version}, {facts.database_bytes} bytes, page checksums {checksums}, tools {tools.version}"
    )


def _files(context: SiteContext) -> str:
    store = context.files.store
    store.check(write=False)
    found = (item.key for item in store.list() if item.kind is PosixKind.FILE)
    first = next((key for key in found if context.files.is_selected(key)), None)
    return f"{store.url} can be listed" + ("" if first else ", but holds no file that would be backed up")


def _repository(context: SiteContext) -> str:
    try:
        repository = context.open_repository(False)
    except RecoveryPointNotFound as error:
        return f"no backup was made yet ({error.message})"
    repository.store.check(write=True)
    return f"{repository.store.url} opens with this key; {len(repository.backups())} backups"
