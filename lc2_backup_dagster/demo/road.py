"""The demo's road of one site: back up through Dagster, restore through Dagster, compare every row and every byte."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lc2_backup_dagster.clouds.prefixed import PrefixedStore
from lc2_backup_dagster.demo.compare import compare_databases, compare_documents, compare_stores
from lc2_backup_dagster.demo.live.comparison import RestoredSite, compare_living, rows_left_out, wait_for_life
from lc2_backup_dagster.demo.platform import DemoPlatform, LiveSite
from lc2_backup_dagster.demo.report import SiteReport, tell_backups, tell_restorable
from lc2_backup_dagster.demo.servers.dagster_client import DagsterClient
from lc2_backup_dagster.demo.sites.site import Say
from lc2_backup_dagster.engines.hooks.run import run_hooks
from lc2_backup_dagster.model.errors import PermanentError
from lc2_backup_dagster.model.globs import GlobSet
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.operations.capture.bind_recovery_point import restorable_points
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import ConfigurationAccess, ExportNeeds, SiteContext
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.sites.assembly import OpenSite, open_site
from lc2_backup_dagster.sites.loader import load_sites, site_folders

_LONGEST_RUN_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class RestoredPlaces:
    """Where a site is restored to.

    Attributes:
        database: name of the new database.
        prefix: of the files, in the site's own bucket for that.
        configuration: folder of the configuration's documents.
    """

    database: str
    prefix: str
    configuration: Path


@dataclass(frozen=True, slots=True)
class SiteRoad:
    """One site's road; each is walked by a thread of its own.

    Attributes:
        platform: the running servers.
        live: the site and its server.
        client: of Dagster.
        places: where to restore to.
        tell: takes what happens.
    """

    platform: DemoPlatform
    live: LiveSite
    client: DagsterClient
    places: RestoredPlaces
    tell: Say

    def walk(self) -> SiteReport:
        """Walk it once.

        Raises:
            PermanentError: a run failed; the message holds what Dagster says.
        """
        report = SiteReport(self.live.site.site)
        opened = self._open()
        owner = self.platform.owner(self.live)
        known = wait_for_life(owner) if self.platform.alive else 0
        self._run(("database",), WindowLength.HOURLY)
        self._run(_daily(opened), WindowLength.DAILY)
        point = self._newest_point(opened)
        tell_backups(opened, report)
        self._restore(opened, point)
        if self.platform.alive:
            self._compare_living(opened, report, point, known)
        else:
            self._compare(opened, report)
        if opened.context.configuration is not None:
            self._compare_configuration(opened.context, opened.context.configuration, report)
        for label, found in report.differences.items():
            report.tell(f"restored {label}", found.text())
        tell_restorable(opened, report)
        return report

    def say(self, text: str) -> None:
        """Tell something of this site."""
        self.tell(f"{self.live.site.site}: {text}")

    def _open(self) -> OpenSite:
        environment = self.platform.environment
        sites = load_sites(site_folders(environment), environment=environment)
        return open_site(sites.site(self.live.site.site), environment=environment)

    def _run(self, names: Sequence[str], length: WindowLength) -> None:
        """Materialize assets for the window of now; once more when the window ended meanwhile."""
        while True:
            window = Window.around(datetime.now(UTC), length=length)
            self.say(f"Dagster materializes {', '.join(names)} for {window.key} …")
            try:
                return self._finish(self.client.launch_assets(self._keys(*names), partition=window.key))
            except PermanentError:
                if datetime.now(UTC) in window:
                    raise
                self.say(f"window {window.key} ended meanwhile")

    def _finish(self, run_id: str) -> None:
        run = self.client.wait(run_id, timeout_seconds=_LONGEST_RUN_SECONDS)
        if run.status != "SUCCESS":
            reasons = "\n".join(run.errors) or "see the run in the UI"
            raise PermanentError(f"{self.live.site.site}: run {run_id} ended as {run.status}: {reasons}")

    def _keys(self, *names: str) -> list[tuple[str, str, str]]:
        site = self.live.site.site
        return [(site.project, site.application, name) for name in names]

    def _newest_point(self, opened: OpenSite) -> CommittedBackup:
        points = restorable_points(opened.context.open_repository(False))
        if not points:
            raise PermanentError(f"no recovery point of {self.live.site.site} was committed")
        return points[-1]

    def _restore(self, opened: OpenSite, point: CommittedBackup) -> None:
        site, places = self.live.site, self.places
        self.say(
            f"Dagster restores {point.backup_id} to database {places.database} and "
            f"{site.restored_bucket}/{places.prefix} …"
        )
        target = {"target_database": places.database, "target_prefix": places.prefix}
        if opened.context.configuration is not None:
            target["configuration_directory"] = str(places.configuration)
        config = {"ops": {f"{site.site.project}__{site.site.application}__restore": {"config": target}}}
        self._finish(self.client.launch_assets(self._keys("restore"), partition=point.backup_id, config=config))

    def _compare(self, opened: OpenSite, report: SiteReport) -> None:
        self.say("comparing every row and every byte …")
        site, server, files = self.live.site, self.live.postgres.server, opened.context.files
        report.differences["database"] = compare_databases(
            server(site.database),
            server(self.places.database),
            ignore=lambda table: rows_left_out(opened.context, table),
        )
        report.differences[opened.application.files_word.replace("_", " ")] = compare_stores(
            files.store,
            "",
            self.platform.store(site.restored_bucket),
            self.places.prefix,
            ignore=lambda key: not files.is_selected(key),
        )

    def _compare_living(self, opened: OpenSite, report: SiteReport, point: CommittedBackup, known: int) -> None:
        self.say("comparing every row with base backup and WAL up to the same change, and every byte …")
        site, platform = self.live.site, self.platform
        owner = platform.owner(self.live)
        report.differences |= compare_living(
            RestoredSite(
                context=opened.context,
                point=point.backup_id,
                source=owner,
                database=self.live.postgres.server(self.places.database),
                files=PrefixedStore(platform.store(site.restored_bucket), self.places.prefix),
                known_before=known,
                versioned=site.versioned,
            )
        )

    def _compare_configuration(self, context: SiteContext, access: ConfigurationAccess, report: SiteReport) -> None:
        restless = GlobSet(self.live.site.restless if self.platform.alive else ())
        with scratch_folder(context.database.scratch_directory, context.site, "compare") as scratch:
            artifacts, waiting = scratch / "artifacts", scratch / "documents"
            artifacts.mkdir()
            waiting.mkdir()
            hooks = [each for each in context.hooks if each.component is Component.CONFIGURATION]
            run_hooks(hooks, artifacts=artifacts, say=lambda line: None)
            with access.open_source(ExportNeeds(artifacts, waiting, before=None)) as source:
                found = compare_documents(source, self.places.configuration, ignore=restless.match)
        report.differences["configuration"] = found


def _daily(opened: OpenSite) -> tuple[str, ...]:
    """Return the assets of the daily run."""
    application = opened.application
    configuration = () if opened.context.configuration is None else (application.configuration_word,)
    return ("database_dump", application.files_word, *configuration, "recovery_point")
