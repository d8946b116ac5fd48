"""``restore`` with what follows it: a real command and a real CDN's endpoint, in the summary and in the exit code."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lc2_backup_dagster.demo.servers.bloomreach import BloomreachServer
from lc2_backup_dagster.demo.servers.bloomreach_faults import answering
from lc2_backup_dagster_tests.cli.calling import lc2
from lc2_backup_dagster_tests.operations.offline_site import (
    a_site_with_an_import_and_a_cdn,
    captured_configuration,
    captured_files,
    opened,
    restores_of,
)
from lc2_backup_dagster_tests.operations.tiny_site import TinySite

SITE = "retail/drupal"


@pytest.fixture
def server() -> Iterator[BloomreachServer]:
    with BloomreachServer() as running:
        yield running


@pytest.fixture
def site(server: BloomreachServer, tmp_path: Path) -> TinySite:
    return a_site_with_an_import_and_a_cdn(tmp_path, cdn=f"{server.url}/cdn/purge")


@pytest.fixture
def configs(site: TinySite) -> Path:
    return site.root / "configs"


@pytest.fixture
def library(site: TinySite) -> Path:
    return site.root / "library" / "sites/default/files"


def purged(server: BloomreachServer) -> list[Any]:
    return [path for each in server.invalidated for path in each["paths"]]


def in_place(site: TinySite, *options: str) -> list[str]:
    place = site.values["files"]["source"]["store"]["path"]
    return ["--target-bucket", place, "--target-prefix", "", "--on-conflict", "overwrite", "--confirm", place, *options]


class TestImport:
    def test_it_is_shown_by_the_dry_run_and_runs_in_the_end(self, site: TinySite, tmp_path: Path):
        backup_id = captured_configuration(site)
        call = ["restore", SITE, backup_id, "--scope", "configuration", "--import-configuration"]
        answer = lc2(site, *call, "--dry-run")
        assert answer.code == 0, answer.err
        assert f"then import: {sys.executable} -c " in answer.out
        assert not list((tmp_path / "restored").iterdir())

        answer = lc2(site, *call)
        assert answer.code == 0, answer.err
        assert "import: imports 1 documents with ‹hidden›" in answer.err
        assert f"configuration imported from {tmp_path / 'restored' / backup_id}" in answer.out

    def test_a_failure_ends_with_1_and_says_that_the_data_is_restored(self, site: TinySite, configs: Path, tmp_path):
        (configs / "broken.yml").write_text("a: 1\n")
        backup_id = captured_configuration(site)
        call = ["restore", SITE, backup_id, "--scope", "configuration", "--import-configuration"]
        answer = lc2(site, "--json", *call)
        assert answer.code == 1
        assert f"{backup_id} is restored, all of its data is there" in answer.err
        assert "ended with exit code 3" in answer.err
        assert "do not restore again; mend what the command needs and run it by hand" in answer.err
        assert answer.json["configuration"]["documents"] == 2
        [follow_up] = answer.json["follow_ups"]
        assert (follow_up["name"], follow_up["succeeded"]) == ("configuration_import", False)
        assert (tmp_path / "restored" / backup_id / "broken.yml").exists()
        [record] = restores_of(opened(site).context)
        assert (record["result"], record["follow_ups"][0]["succeeded"]) == ("restored", False)

    def test_it_does_not_run_unasked(self, site: TinySite):
        answer = lc2(site, "restore", SITE, captured_configuration(site), "--scope", "configuration")
        assert answer.code == 0, answer.err
        assert "import" not in answer.out + answer.err


class TestCdn:
    def test_it_is_told_of_what_changed_in_place(self, site: TinySite, server: BloomreachServer, library: Path):
        backup_id = captured_files(site)
        (library / "a.jpg").write_text("another")
        (library / "b c.jpg").unlink()
        answer = lc2(site, "restore", SITE, backup_id, *in_place(site))
        assert answer.code == 0, answer.err
        assert purged(server) == ["/media/sites/default/files/a.jpg", "/media/sites/default/files/b%20c.jpg"]
        assert server.invalidated[0]["authorization"] == site.environment["CDN_SECRET"]
        assert f"then the CDN is told of what was written or deleted: POST {server.url}/cdn/purge" in answer.out
        assert "CDN: 2 paths invalidated in 1 calls" in answer.out

    def test_a_refusal_ends_with_1_and_says_that_the_data_is_restored(self, site, server, library: Path):
        backup_id = captured_files(site)
        (library / "a.jpg").write_text("another")
        server.fail(answering(403), "/cdn/", times=99)
        answer = lc2(site, "restore", SITE, backup_id, *in_place(site))
        assert answer.code == 1
        assert (library / "a.jpg").read_text() == "a.jpg"
        assert "FAILED: CDN: 1 of 1 calls failed" in answer.out
        assert f"{backup_id} is restored, all of its data is there" in answer.err
        assert "invalidate everything below '/media/' by hand" in answer.err

    def test_another_place_is_told_only_when_asked_for(self, site: TinySite, server: BloomreachServer, tmp_path: Path):
        backup_id = captured_files(site)
        answer = lc2(site, "restore", SITE, backup_id, "--target-directory", tmp_path / "one")
        assert (answer.code, purged(server)) == (0, []), answer.err
        assert "now: CDN: it is not told of the restored files" in answer.out
        answer = lc2(site, "restore", SITE, backup_id, "--target-directory", tmp_path / "two", "--invalidate-cdn")
        assert answer.code == 0, answer.err
        assert len(purged(server)) == 3


def test_a_whole_server_has_nothing_that_follows(site: TinySite, tmp_path: Path):
    server = ["restore", SITE, "--target-directory", tmp_path / "data", "--to-latest"]
    assert lc2(site, *server, "--import-configuration").code == 2
    assert lc2(site, *server, "--invalidate-cdn").code == 2
