"""A provider's snapshot, chosen where a server offers neither increments nor archived WAL; behind it a fake."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from lc2_backup_dagster.clouds.managed_database import ManagedCapabilities, ManagedDatabase, ProviderSnapshot
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.model.errors import ConfigurationError, ServerUnavailable, WindowNotRestorable
from lc2_backup_dagster.model.recovery_target import IMMEDIATE
from lc2_backup_dagster.model.site import BackupKind
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.database import capture_database
from lc2_backup_dagster.operations.checks import chain_complete
from lc2_backup_dagster.operations.restore.choose_start import choose_start
from lc2_backup_dagster.operations.verify.chain_objects import look_at_chain
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.fixtures_chains import ChainSite, MakeChainSite
from lc2_backup_dagster_tests.operations.tiny_site import open_window


@dataclass
class FakeProvider:
    """A provider's service in memory."""

    snapshots: bool = True
    delay: timedelta = timedelta()
    away: bool = False
    made: dict[str, ProviderSnapshot] = field(default_factory=dict[str, ProviderSnapshot])

    @property
    def capabilities(self) -> ManagedCapabilities:
        return ManagedCapabilities(snapshots=self.snapshots)

    def create_snapshot(self, name: str) -> ProviderSnapshot:
        if self.away:
            raise ServerUnavailable("the provider's service does not answer")
        taken_at = datetime.now(UTC) + self.delay
        return self.made.setdefault(name, ProviderSnapshot(name, taken_at, "account 1, region x", 4096, encrypted=True))

    def has_snapshot(self, snapshot_id: str) -> bool:
        return snapshot_id in self.made


@pytest.fixture
def plain_site(make_chain_site: MakeChainSite, summarizing: PostgresServer) -> ChainSite:
    """A site that wants no increments and archives no WAL."""
    return make_chain_site(summarizing, policies__chains__incremental=False)


def capture(site: ChainSite, managed: ManagedDatabase) -> Captured:
    context = site.site.context
    return capture_database(
        replace(context, database=replace(context.database, managed=managed)),
        window=open_window(WindowLength.HOURLY),
        asked_at=datetime.now(UTC),
        initiator=TESTER,
    )


def test_the_snapshot_is_committed_with_its_id_and_the_reason_and_nothing_stands_on_it(plain_site: ChainSite):
    provider = FakeProvider()
    captured = capture(plain_site, provider)
    assert (captured.backup.kind, captured.backup.parent, captured.manifest.streams) == (BackupKind.SNAPSHOT, None, {})
    details = captured.manifest.details
    assert provider.has_snapshot(details["snapshot_id"])
    assert "the provider makes snapshots; no increment: " in captured.manifest.strategy.reason
    repository = plain_site.site.repository
    outcome = chain_complete(captured, look_at_chain(repository, captured.backup))
    assert outcome.passed
    assert details["snapshot_id"] in outcome.message
    with pytest.raises(ConfigurationError, match="snapshot of the provider"):
        choose_start(repository, IMMEDIATE, backup_id=captured.backup.backup_id)
    assert plain_site.capture().backup.parent is None


def test_a_provider_that_makes_none_leaves_a_full_backup(plain_site: ChainSite):
    assert capture(plain_site, FakeProvider(snapshots=False)).backup.kind is BackupKind.FULL


def test_a_provider_that_is_away_leaves_no_backup_behind(plain_site: ChainSite):
    with pytest.raises(ServerUnavailable):
        capture(plain_site, FakeProvider(away=True))
    history = plain_site.site.repository.log.history()
    assert not history.backups
    assert not history.running


def test_a_snapshot_that_was_taken_after_its_window_is_kept_under_the_one_it_belongs_to(plain_site: ChainSite):
    with pytest.raises(WindowNotRestorable, match="was missed"):
        capture(plain_site, FakeProvider(delay=timedelta(hours=1)))
    [kept] = plain_site.site.repository.backups()
    later = Window.around(datetime.now(UTC) + timedelta(hours=1), length=WindowLength.HOURLY)
    assert (kept.kind, kept.window) == (BackupKind.SNAPSHOT, later.key)
