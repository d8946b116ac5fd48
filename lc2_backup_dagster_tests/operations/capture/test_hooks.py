"""Hooks run before a capture begins anything, and a failed one is the end of it."""

from dataclasses import replace

import pytest

from lc2_backup_dagster.engines.hooks.hook import Hook, Output
from lc2_backup_dagster.engines.hooks.ports import Done
from lc2_backup_dagster.engines.hooks.run import BoundHook
from lc2_backup_dagster.model.errors import HookFailed
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.capture.files import capture_site_files
from lc2_backup_dagster.operations.capture.shards import begin_shards
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.files_site import FilesSite


class Recorded:
    """A runner that notes what was there when it ran."""

    def __init__(self, site: FilesSite, *, fails: bool = False) -> None:
        self.site = site
        self.fails = fails
        self.ran: list[tuple[str, str, int]] = []

    def run(self, hook, *, run, artifact, say):
        self.ran.append((hook.name, run, len(self.site.store.objects)))
        say("says this")
        if self.fails:
            raise HookFailed(f"hook {hook.name} ended with exit code 1", output="all of it")
        return Done(Output("says this\n", 10, 0))


@pytest.fixture
def site(tmp_path):
    site = FilesSite(tmp_path)
    site.change(a=b"1", b=b"2")
    return site


def with_hooks(site, *components, fails=False):
    runner = Recorded(site, fails=fails)
    hooks = tuple(BoundHook(Hook(f"before-{component}", ("true",)), runner, component) for component in components)
    site.context = replace(site.context, hooks=hooks)
    return runner


def capture(site, said):
    return capture_site_files(
        site.context, window=site.today, asked_at=site.clock.now(), initiator=TESTER, say=said.append
    )


def test_only_the_hooks_of_the_component_run_and_their_words_reach_the_log(site):
    runner = with_hooks(site, Component.DATABASE_DUMP, Component.FILES, Component.CONFIGURATION)
    said: list[str] = []
    assert capture(site, said).backup.summary["objects"] == 2
    assert [(name, run) for name, run, _ in runner.ran] == [("before-files", TESTER.run_id or "")]
    assert "hook before-files: says this" in said
    assert said[0] == "hook before-files: begins, may take 300 s"


def test_a_failed_hook_begins_no_backup(site):
    with_hooks(site, Component.FILES, fails=True)
    with pytest.raises(HookFailed, match="ended with exit code 1"):
        capture(site, [])
    assert [record.type for record in site.repository.log.records()] == []
    assert site.backups() == []


def test_shards_are_begun_after_the_hooks(site):
    runner = with_hooks(site, Component.FILES)
    site.context = site.changed(shards=("a",))

    def begin():
        return begin_shards(
            site.context, window=site.today, asked_at=site.clock.now(), initiator=TESTER, ticket="run-1"
        )

    begin()
    assert [name for name, _, _ in runner.ran] == ["before-files"]
    assert [record.type for record in site.repository.log.records()] == [RecordType.BEGIN]
    runner.fails = True
    with pytest.raises(HookFailed):
        begin()
    assert [record.type for record in site.repository.log.records()] == [RecordType.BEGIN]


def test_a_past_window_runs_no_hooks(site):
    capture(site, [])
    past = site.next_day()
    capture(site, [])
    runner = with_hooks(site, Component.FILES, fails=True)
    site.capture(past)
    assert runner.ran == []
