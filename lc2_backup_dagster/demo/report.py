"""What the demo tells when its road is walked: a table of each site, and one verdict."""

from dataclasses import dataclass, field

from lc2_backup_dagster.demo.compare import Differences
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.site import Component, SiteId
from lc2_backup_dagster.operations.wal.restorable_until import measure_restorable
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.sites.assembly import OpenSite


@dataclass(slots=True)
class SiteReport:
    """What happened at one site.

    Attributes:
        site: which.
        rows: pairs of a label and what is to be said of it, in order.
        differences: what was found different, by what was compared.
    """

    site: SiteId
    rows: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    differences: dict[str, Differences] = field(default_factory=dict[str, Differences])

    @property
    def identical(self) -> bool:
        """Whether something was compared, and all of it is equal."""
        return bool(self.differences) and all(each.equal for each in self.differences.values())

    def tell(self, label: str, text: str) -> None:
        """Add a row."""
        self.rows.append((label, text))


@dataclass(slots=True)
class JourneyReport:
    """What happened at all sites.

    Attributes:
        sites: one report each.
        seconds: from the first launch to the end of the last comparison.
    """

    sites: list[SiteReport] = field(default_factory=list[SiteReport])
    seconds: float = 0.0

    @property
    def identical(self) -> bool:
        """Whether everything restored equals its source, at every site."""
        return bool(self.sites) and all(each.identical for each in self.sites)


def tell_backups(opened: OpenSite, report: SiteReport) -> None:
    """Tell of the newest backup of each component."""
    newest = {each.component: each for each in opened.context.open_repository(False).backups()}
    base, dump, files = (newest[each] for each in (Component.DATABASE, Component.DATABASE_DUMP, Component.FILES))
    report.tell("strategy of the database", _strategy(opened, base))
    for label, backup in ((f"base backup ({base.kind})", base), ("dump", dump)):
        plain, stored = backup.summary["plain_bytes"], backup.summary["stored_bytes"]
        report.tell(label, f"{_mb(plain)} → {_mb(stored)} stored, {plain / stored:.1f}:1, encrypted")
    summary = files.summary
    report.tell(
        f"{_words(opened.application.files_word)} ({files.kind})",
        f"{summary['objects']} files, {_mb(summary['logical_bytes'])}; {summary['changed_objects']} changed, "
        f"{_mb(summary['copied_bytes'])} moved, {summary['excluded']} generated ones left out",
    )
    if export := newest.get(Component.CONFIGURATION):
        unchanged = ", the same as before" if export.summary["same_as"] else ""
        report.tell("configuration", f"{export.summary['documents']} documents{unchanged}")
    point = newest[Component.RECOVERY_POINT]
    kept = point.summary.get("kept", 0)
    report.tell(
        "recovery point",
        f"{point.backup_id}: {point.summary['rows']} rows name files, {point.summary['dangling']} dangle"
        + (
            f", {kept} files that were gone or other by then were taken from versions or earlier backups"
            if kept
            else ""
        ),
    )


def tell_restorable(opened: OpenSite, report: SiteReport) -> None:
    """Tell until when archived WAL restores the database."""
    seen = measure_restorable(opened.context)
    if seen.until is not None and seen.lag_seconds is not None:
        report.tell(
            "restorable until",
            f"{to_text(seen.until)[:19]}Z ({seen.lsn}), {seen.lag_seconds:.0f} s behind the server; "
            f"{seen.segments} whole WAL segments archived behind {seen.base}",
        )


def _strategy(opened: OpenSite, base: CommittedBackup) -> str:
    strategy = opened.context.open_repository(False).manifest(base.backup_id).strategy
    return f"{strategy.chosen}: {strategy.reason}"


def _words(word: str) -> str:
    return word.replace("_", " ")


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
