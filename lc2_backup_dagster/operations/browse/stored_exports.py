"""Exports of the configuration, found by name, compared, and summed up for people."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from lc2_backup_dagster.engines.exports.comparing import ChangeCounts, ExportChange
from lc2_backup_dagster.engines.exports.document_changes import DocumentChanges
from lc2_backup_dagster.engines.exports.stored import StoredExport
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.browse.named_backup import named_backup
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.site import SiteRepository

_SAMPLE = 50


def export_backup(repository: SiteRepository, name: str) -> CommittedBackup:
    """Return the export that a name means: a recovery point, a backup of the configuration, or ``latest``.

    Raises:
        RecoveryPointNotFound: there is no such backup, or the export of that point has expired.
        ConfigurationError: it is a backup of something else.
    """
    return named_backup(repository, name, Component.CONFIGURATION, what="configuration")


def stored_export(repository: SiteRepository, backup: CommittedBackup) -> StoredExport:
    """Open a committed export."""
    return StoredExport(repository, repository.manifest(backup.backup_id))


@dataclass(slots=True)
class ExportChanges:
    """What differs between two exports.

    Attributes:
        since: the older backup's id.
        counts: how many documents differ.
        first: the first ones, ascending by path.
    """

    since: str
    counts: ChangeCounts = field(default_factory=ChangeCounts)
    first: list[ExportChange] = field(default_factory=list[ExportChange])


def changes_between(
    repository: SiteRepository, old: CommittedBackup, new: CommittedBackup, *, prefix: str = ""
) -> ExportChanges:
    """Return which documents differ, from the two indexes alone.

    Args:
        repository: the site's.
        old: the older export.
        new: the newer one.
        prefix: only documents whose path begins with this text.

    Raises:
        BackupError: one of them cannot be read.
    """
    changes = ExportChanges(old.backup_id)
    for change in stored_export(repository, new).changes_since(stored_export(repository, old)):
        if not change.path.startswith(prefix):
            continue
        changes.counts.count(change.kind)
        if len(changes.first) < _SAMPLE:
            changes.first.append(change)
    return changes


def compare_exports(
    repository: SiteRepository, old: CommittedBackup, new: CommittedBackup, *, prefix: str = ""
) -> Iterator[DocumentChanges]:
    """Yield what differs with the keys or lines that differ, values that look secret hidden.

    Args:
        repository: the site's.
        old: the older export.
        new: the newer one.
        prefix: only documents whose path begins with this text.
    """
    return stored_export(repository, new).document_changes_since(
        stored_export(repository, old), wanted=lambda path: path.startswith(prefix)
    )
