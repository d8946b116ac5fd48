"""The configuration as a component: captured, proven, compared with the day before, refused when it is not whole."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from lc2_backup_dagster.applications.registry import application_of
from lc2_backup_dagster.engines.exports.ports import ExportFacts
from lc2_backup_dagster.engines.hooks.hook import ArtifactFacts, Hook, Output
from lc2_backup_dagster.engines.hooks.ports import Done
from lc2_backup_dagster.engines.hooks.run import BoundHook
from lc2_backup_dagster.model.errors import (
    BackupPartial,
    ConfigurationError,
    ExportInvalid,
    HookFailed,
    ServiceUnavailable,
    SourceChanged,
    TargetNotEmpty,
    WindowNotRestorable,
)
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.browse.stored_exports import changes_between, export_backup, stored_export
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.configuration import capture_configuration
from lc2_backup_dagster.operations.restore.request import RestoreRequest, RestoreScope
from lc2_backup_dagster.operations.restore.run import restore
from lc2_backup_dagster.operations.site_context import ConfigurationAccess, ExportNeeds, SiteContext
from lc2_backup_dagster.sites.configuration import Configuration, configuration_access
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.engines.exports.exporting import DocumentsOf
from lc2_backup_dagster_tests.operations.files_site import FilesSite

DOCUMENTS = {"core.extension.yml": b"module:\n  node: 0\n", "system.site.yml": b"name: Shop\n"}


@pytest.fixture
def site(tmp_path) -> FilesSite:
    return FilesSite(tmp_path)


class Configured:
    """A site whose configuration is a dictionary."""

    def __init__(self, site: FilesSite, **access) -> None:
        self.site = site
        self.documents: Mapping[str, bytes] = dict(DOCUMENTS)
        self.facts = ExportFacts()
        self.needs: list[ExportNeeds] = []
        self.error: Exception | None = None
        self.access = access

    @contextmanager
    def open_source(self, needs: ExportNeeds) -> Iterator[DocumentsOf]:
        self.needs.append(needs)
        if self.error is not None:
            raise self.error
        yield DocumentsOf(self.documents, self.facts)

    @property
    def context(self) -> SiteContext:
        access = ConfigurationAccess(self.open_source, ("core.extension.yml",), "a dictionary")
        return replace(self.site.context, configuration=replace(access, **self.access))

    def capture(self) -> Captured:
        site = self.site
        return capture_configuration(self.context, window=site.today, asked_at=site.clock.now(), initiator=TESTER)


@pytest.fixture
def configured(site: FilesSite) -> Configured:
    return Configured(site)


def test_two_days_are_compared_by_their_contents(configured: Configured):
    first = configured.capture()
    assert first.backup.component is Component.CONFIGURATION
    assert first.backup.summary["documents"] == 2
    assert first.backup.summary["same_as"] is None
    assert first.manifest.strategy.reason == "all documents, from a dictionary"

    configured.site.clock.move(days=1)
    same = configured.capture()
    assert same.backup.summary["same_as"] == first.backup.backup_id
    assert same.backup.summary["export_sha256"] == first.backup.summary["export_sha256"]
    before = configured.needs[-1].before
    assert before is not None and before.name == first.backup.backup_id

    configured.documents = {**DOCUMENTS, "system.site.yml": b"name: Outlet\n", "views.view.a.yml": b"id: a\n"}
    configured.site.clock.move(days=1)
    changed = configured.capture()
    repository = configured.site.repository
    found = changes_between(repository, same.backup, changed.backup)
    assert (found.counts.added, found.counts.removed, found.counts.changed) == (1, 0, 1)
    [key] = [
        key
        for each in stored_export(repository, changed.backup).document_changes_since(
            stored_export(repository, export_backup(repository, same.backup.backup_id))
        )
        for key in each.keys or ()
    ]
    assert (key.key, key.old, key.new) == ("name", '"Shop"', '"Outlet"')


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ({}, "empty"),
        ({"system.site.yml": b"name: x\n"}, r"missing: core\.extension\.yml"),
        ({**DOCUMENTS, "broken.yml": b"a: [1,\n"}, r"broken\.yml"),
        ({**DOCUMENTS, "broken.json": b"{"}, r"broken\.json"),
        ({**DOCUMENTS, "../outside.yml": b"a: 1\n"}, "outside"),
    ],
)
def test_an_export_that_is_worth_nothing_is_never_listed(configured: Configured, documents, message):
    configured.documents = documents
    with pytest.raises(ExportInvalid, match=message):
        configured.capture()
    assert configured.site.repository.backups() == []
    assert list(configured.site.context.database.scratch_directory.rglob("artifacts")) == []


def test_what_the_application_could_not_export_makes_it_partial_and_is_named(configured: Configured):
    configured.facts = ExportFacts(unexported=(("menus", "409 Conflict"),))
    with pytest.raises(BackupPartial, match=r"1 items .* menus \(409 Conflict\)") as refused:
        configured.capture()
    kept = configured.site.repository.backup(str(refused.value.attributes["backup_id"]))
    assert kept.summary["partial"] is True
    assert kept.summary["unexported"] == 1


def test_a_past_day_is_refused_and_nothing_runs(configured: Configured):
    yesterday = configured.site.today
    configured.site.clock.move(days=1)
    with pytest.raises(WindowNotRestorable, match="nothing was recorded"):
        capture_configuration(
            configured.context, window=yesterday, asked_at=configured.site.clock.now(), initiator=TESTER
        )
    assert configured.needs == []


def test_a_source_that_is_away_leaves_nothing_behind(configured: Configured):
    configured.error = ServiceUnavailable("no answer")
    with pytest.raises(ServiceUnavailable):
        configured.capture()
    assert configured.site.repository.backups() == []
    configured.error = None
    configured.capture()


class Drush:
    """A runner that writes an export, as drush does."""

    def __init__(self, documents: Mapping[str, bytes], *, fails: bool = False) -> None:
        self.documents, self.fails = documents, fails

    def run(self, hook, *, run, artifact: Path | None, say) -> Done:
        say("exported")
        if self.fails:
            raise HookFailed(f"hook {hook.name} ended with exit code 1", output="no database")
        if artifact is not None:
            for path, content in self.documents.items():
                (artifact / path).write_bytes(content)
        return Done(Output("exported\n", 9, 0), ArtifactFacts(len(self.documents), 1))


def with_hooks(site: FilesSite, **runners: Drush) -> SiteContext:
    """Return a site whose configuration is what its hooks leave behind, as a site file makes it."""
    hooks = tuple(
        BoundHook(Hook(name, ("drush",), 300, True, "/x"), runner, Component.CONFIGURATION)
        for name, runner in runners.items()
    )
    told = Configuration.model_validate({"source": {"kind": "hooks"}})
    access = configuration_access(told, application_of("drupal"), {})
    return replace(site.context, hooks=hooks, configuration=access)


class TestHooks:
    def capture(self, site: FilesSite, context: SiteContext, said: list[str]) -> Captured:
        return capture_configuration(
            context, window=site.today, asked_at=site.clock.now(), initiator=TESTER, say=said.append
        )

    def test_artefacts_of_all_hooks_are_one_export(self, site: FilesSite):
        said: list[str] = []
        context = with_hooks(
            site,
            core=Drush({"core.extension.yml": b"a: 1\n", ".htaccess": b"deny"}),
            more=Drush({"more.yml": b"b: 2\n"}),
        )
        done = self.capture(site, context, said)
        paths = [each.path for each in stored_export(site.repository, done.backup).entries()]
        assert paths == ["core.extension.yml", "more.yml"]
        assert done.manifest.strategy.reason == "all documents, from what its hooks wrote"
        assert [(each["name"], each["output"]) for each in done.manifest.details["hooks"]] == [
            ("core", "exported\n"),
            ("more", "exported\n"),
        ]
        assert "hook core: exported" in said

    def test_two_hooks_that_write_one_document_are_refused(self, site: FilesSite):
        context = with_hooks(site, one=Drush(DOCUMENTS), two=Drush(DOCUMENTS))
        with pytest.raises(ExportInvalid, match=r"hook one and hook two both have a document core\.extension\.yml"):
            self.capture(site, context, [])

    def test_an_export_without_its_heart_and_a_failed_hook_are_never_listed(self, site: FilesSite):
        with pytest.raises(ExportInvalid, match=r"core\.extension\.yml"):
            self.capture(site, with_hooks(site, core=Drush({"other.yml": b"a: 1\n"})), [])
        with pytest.raises(HookFailed, match="exit code 1"):
            self.capture(site, with_hooks(site, core=Drush(DOCUMENTS, fails=True)), [])
        assert site.repository.backups() == []
        self.capture(site, with_hooks(site, core=Drush(DOCUMENTS)), [])


def test_a_document_that_is_saved_during_the_export_is_read_again(configured: Configured):
    errors = iter([SourceChanged("it grew"), SourceChanged("it grew"), None])

    @contextmanager
    def open_source(needs: ExportNeeds) -> Iterator[DocumentsOf]:
        if (error := next(errors)) is not None:
            raise error
        yield DocumentsOf(DOCUMENTS)

    configured.access["open_source"] = open_source
    assert configured.capture().backup.summary["documents"] == 2


def test_a_site_without_configuration_says_so(site: FilesSite):
    with pytest.raises(ConfigurationError, match="has no configuration"):
        capture_configuration(site.context, window=site.today, asked_at=site.clock.now(), initiator=TESTER)


class TestRestore:
    def request(self, backup_id: str, **fields) -> RestoreRequest:
        return RestoreRequest(backup_id, RestoreScope.CONFIGURATION, **fields)

    def test_documents_come_back_byte_for_byte_into_a_new_directory(self, configured: Configured, tmp_path):
        backup_id = configured.capture().backup.backup_id
        target = tmp_path / "restored"
        now = configured.site.clock.now()
        restored = restore(
            configured.context,
            self.request(backup_id, configuration_directory=target),
            now=now,
            initiator=TESTER,
        )
        assert {each.name: each.read_bytes() for each in target.iterdir()} == DOCUMENTS
        assert restored.configuration is not None and restored.configuration.documents == 2
        with pytest.raises(TargetNotEmpty, match="not empty"):
            restore(
                configured.context,
                self.request(backup_id, configuration_directory=target),
                now=now,
                initiator=TESTER,
            )

    def test_some_documents_alone_and_a_dry_run_that_changes_nothing(self, configured: Configured, tmp_path):
        backup_id = configured.capture().backup.backup_id
        target = tmp_path / "restored"
        asked = self.request(backup_id, configuration_directory=target, globs=("system.*",))
        now = configured.site.clock.now()
        plan = restore(configured.context, replace(asked, dry_run=True), now=now, initiator=TESTER).plan
        assert plan.configuration is not None
        assert (plan.configuration.documents, plan.configuration.plain_bytes) == (1, len(DOCUMENTS["system.site.yml"]))
        assert not target.exists()
        restore(configured.context, asked, now=now, initiator=TESTER)
        assert [each.name for each in target.iterdir()] == ["system.site.yml"]

    def test_without_a_directory_it_is_refused_with_the_remedy(self, configured: Configured):
        backup_id = configured.capture().backup.backup_id
        plan = restore(
            configured.context,
            replace(self.request(backup_id), dry_run=True),
            now=configured.site.clock.now(),
            initiator=TESTER,
        ).plan
        assert any(r"restore.configuration.directory" in each for each in plan.blockers)


def test_changes_are_counted_below_a_prefix_only(configured: Configured):
    first = configured.capture()
    configured.documents = {**DOCUMENTS, "system.site.yml": b"name: Outlet\n", "views.view.a.yml": b"id: a\n"}
    second = configured.capture()
    repository = configured.site.repository
    found = changes_between(repository, first.backup, second.backup, prefix="views.")
    assert (found.counts.added, found.counts.changed, [each.path for each in found.first]) == (
        1,
        0,
        ["views.view.a.yml"],
    )
