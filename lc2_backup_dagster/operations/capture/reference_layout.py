"""In which of several ways an application's rows name its files: the files that are there tell."""

from collections.abc import Iterable
from dataclasses import dataclass

from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.application import Application
from lc2_backup_dagster.model.errors import BackupError, ObjectNotFound
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.site_context import FilesAccess, SiteContext


@dataclass(frozen=True, slots=True)
class ReferenceQuery:
    """The query of a dump for the rows that name files.

    Attributes:
        sql: the query; None where no row names a file.
        layout: name of the layout; None where the application has only one.
        reason: why this one, for people; empty where there is only one.
    """

    sql: str | None
    layout: str | None = None
    reason: str = ""


def reference_query(context: SiteContext, server: Server) -> ReferenceQuery:
    """Choose the layout whose keys are there.

    A few keys of each layout are looked up in the files' store, newest first. Where nothing tells the layouts apart (no
    such files, a store that is away, a right that is missing), the layout of the last dump holds, else the first: a
    wrong one makes rows dangle, which is seen when the point is bound, and loses nothing.

    Args:
        context: the site.
        server: with the database that is dumped.
    """
    layouts = context.application.file_reference_layouts
    if not layouts or context.library is None:
        return ReferenceQuery(context.application.file_reference_sql)
    try:
        with server.connect() as connection:
            samples = {
                each.name: [str(key) for (key,) in connection.execute(each.sample_sql.encode()).fetchall()]
                for each in layouts
            }
        found = {name: _found(keys, context.library) for name, keys in samples.items()}
    except BackupError as error:
        return _as_before(context, f"the files cannot be asked: {error.message}")
    best = max(layouts, key=lambda each: found[each.name])
    if len(set(found.values())) == 1:
        return _as_before(context, "no file tells the layouts apart")
    counted = ", ".join(f"{name} {count}" for name, count in found.items())
    return ReferenceQuery(best.sql, best.name, f"files found of a sample: {counted}")


def query_of(application: Application, layout: str | None) -> str | None:
    """Return the query that a dump with this layout was made with, as the application has it now."""
    named = (each.sql for each in application.file_reference_layouts if each.name == layout)
    return next(named, application.file_reference_sql)


def _found(keys: Iterable[str], files: FilesAccess) -> int:
    return sum(_is_there(key, files) for key in keys if files.is_selected(key))


def _is_there(key: str, files: FilesAccess) -> bool:
    try:
        files.store.stat(key)
    except ObjectNotFound:
        return False
    return True


def _as_before(context: SiteContext, why: str) -> ReferenceQuery:
    repository = context.open_repository(True)
    for dump in reversed(repository.backups(Component.DATABASE_DUMP)):
        layout = repository.manifest(dump.backup_id).details.get("references_layout")
        if layout is not None:
            return ReferenceQuery(query_of(context.application, layout), layout, f"{why}; as of {dump.backup_id}")
    first = context.application.file_reference_layouts[0]
    return ReferenceQuery(first.sql, first.name, why)
