"""Hooks in their order, and where their artefacts lie."""

import subprocess
import sys

import pytest

from lc2_backup_dagster.engines.hooks.hook import Hook
from lc2_backup_dagster.engines.hooks.run import BoundHook, run_hooks
from lc2_backup_dagster.model.errors import HookFailed
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster_tests.engines.hooks.hooking import a_runner


def bound(name: str, script: str, *, place=None) -> BoundHook:
    hook = Hook(name, ("/bin/sh", "-c", script), 30, place is not None, str(place) if place else None)
    return BoundHook(hook, a_runner(), Component.CONFIGURATION)


def test_artefacts_lie_in_folders_named_after_their_hooks(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two.yml"
    artifacts = tmp_path / "artifacts"
    stale = artifacts / "first" / "of-an-earlier-try.yml"
    stale.parent.mkdir(parents=True)
    stale.write_text("old")
    said: list[str] = []
    hooks = [
        bound("first", f"mkdir -p {one}/deep; echo 1 > {one}/deep/a.yml", place=one),
        bound("without", f"echo 2 > {two}"),
        bound("second", "true", place=two),
    ]
    outcomes = run_hooks(hooks, artifacts=artifacts, say=said.append)
    assert [(each.name, each.artifact, each.facts and each.facts.files) for each in outcomes] == [
        ("first", artifacts / "first", 1),
        ("without", None, None),
        ("second", artifacts / "second", 1),
    ]
    kept = sorted(str(path.relative_to(artifacts)) for path in artifacts.rglob("*") if path.is_file())
    assert kept == ["first/deep/a.yml", "second/two.yml"]
    assert said[0] == "hook first: begins, may take 30 s"
    assert said[1].startswith("hook first: done in ") and said[1].endswith("artefact of 1 files, 2 bytes")


def test_the_first_failure_ends_all(tmp_path):
    with pytest.raises(HookFailed, match="hook bad ended with exit code 1"):
        run_hooks(
            [bound("good", f"touch {tmp_path}/good"), bound("bad", "exit 1"), bound("late", f"touch {tmp_path}/late")],
            artifacts=tmp_path / "artifacts",
            say=lambda line: None,
        )
    assert (tmp_path / "good").exists()
    assert not (tmp_path / "late").exists()


def test_no_hooks_are_no_folder(tmp_path):
    assert run_hooks([], artifacts=tmp_path / "artifacts", say=print) == ()
    assert not (tmp_path / "artifacts").exists()


def test_the_client_of_a_cluster_is_not_imported_before_it_is_needed():
    script = "import lc2_backup_dagster.sites.assembly, sys; assert not {'kubernetes', 'websocket'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
