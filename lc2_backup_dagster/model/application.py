"""The port an application implements: what the service must know of Liferay, Drupal or Bloomreach to back it up.

Values only; nothing here or in an implementation reads or writes anything. An application is one folder in
``applications/`` and one line in ``applications/registry.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lc2_backup_dagster.model.site import Component


@dataclass(frozen=True, slots=True)
class FileReference:
    """One database row that names a file: a record of the stream that ``file_reference_sql`` yields.

    Attributes:
        key: the object's key below the file source's prefix.
        row_id: what identifies the row to a person, for example ``dlfileversion.fileversionid=40112``.
        size_bytes: the size the row promises, or None where the row does not say.
    """

    key: str
    row_id: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class ReferenceLayout:
    """One of several ways in which rows of an application may name its files.

    Attributes:
        name: a word for it; kept with every dump.
        sql: its ``file_reference_sql``.
        sample_sql: a query for the keys (one text column, at most 50 rows, newest first) of files that the layouts name
            differently. The layout that names the files that are there is the one in use.
    """

    name: str
    sql: str
    sample_sql: str


@dataclass(frozen=True, slots=True)
class CleanDocument:
    """A document of the configuration as it may be stored.

    Attributes:
        content: without secrets; None leaves the whole document out.
        left_out: names of what was left out of it, for whoever restores it and must supply them.
    """

    content: bytes | None
    left_out: tuple[str, ...] = ()


def component_word(application: "Application", component: Component) -> str:
    """Return what an application calls a component: files and configuration go by its own words."""
    words = {Component.FILES: application.files_word, Component.CONFIGURATION: application.configuration_word}
    return words.get(component, str(component))


@runtime_checkable
class Application(Protocol):
    """One kind of application."""

    @property
    def kind(self) -> str:
        """The word in a site file's ``application.kind``."""
        ...

    @property
    def title(self) -> str:
        """The product's own name, for people."""
        ...

    @property
    def files_word(self) -> str:
        """What the application calls its files; the last segment of their asset key."""
        ...

    @property
    def default_includes(self) -> Sequence[str]:
        """Globs of what is backed up unless the site file's ``files.include`` says otherwise; empty means all."""
        ...

    @property
    def generated_globs(self) -> Sequence[str]:
        """Globs of exactly the files that the application makes again by itself (``excludeGeneratedFiles``)."""
        ...

    @property
    def default_excludes(self) -> Sequence[str]:
        """Globs left out unless the site file's ``files.exclude`` says otherwise."""
        ...

    @property
    def forbidden_globs(self) -> Sequence[str]:
        """Globs of files that are never backed up, whatever a site file says: they hold a deployment's secrets."""
        ...

    @property
    def default_dump_excludes(self) -> Sequence[str]:
        """Patterns of tables (as ``pg_dump --exclude-table-data`` reads them) whose rows dumps leave out."""
        ...

    @property
    def configuration_word(self) -> str:
        """What the application calls its configuration; the last segment of its asset key."""
        ...

    @property
    def configuration_required(self) -> Sequence[str]:
        """Paths of documents without which an export of the configuration is worth nothing."""
        ...

    @property
    def configuration_excludes(self) -> Sequence[str]:
        """Globs of what never becomes part of the configuration: licences, files that hold nothing but secrets."""
        ...

    def clean_configuration(self, path: str, content: bytes, /) -> CleanDocument:
        """Leave the secrets out of a document; what is no text, or of no known format, is left out or kept whole."""
        ...

    @property
    def after_restore_notes(self) -> Sequence[str]:
        """What a person still has to do when a restore has ended."""
        ...

    @property
    def file_reference_sql(self) -> str | None:
        """A query for every row that names a file, or None where the database names none.

        Run it in the snapshot of the dump. Its columns are those of ``FileReference``, ``key text``,
        ``row_id text``, ``size_bytes bigint``, ordered by ``key COLLATE "C"`` (the order of UTF-8 bytes) and then
        by ``row_id``, so that it merges with a sorted file manifest in bounded memory. Two rows may name one key.
        Tables are found through the connection's ``search_path``.
        """
        ...

    @property
    def file_reference_layouts(self) -> Sequence[ReferenceLayout]:
        """All layouts where there are several, the one of ``file_reference_sql`` first; else none."""
        ...
