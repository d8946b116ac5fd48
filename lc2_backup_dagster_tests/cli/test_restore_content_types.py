"""``restore-content-types`` against a server with Bloomreach's APIs: planned, agreed to by name, recorded."""

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import ANY

import pytest

from lc2_backup_dagster.applications.bloomreach import config
from lc2_backup_dagster.applications.http.patience import Patience
from lc2_backup_dagster.demo.servers.bloomreach import BloomreachServer
from lc2_backup_dagster.demo.servers.bloomreach_faults import answering
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster_tests.cli.calling import Answer, lc2
from lc2_backup_dagster_tests.operations.offline_site import (
    an_offline_site,
    captured_configuration,
    opened,
    restores_of,
)
from lc2_backup_dagster_tests.operations.tiny_site import TinySite

SITE = "retail/bloomreach"
TOKEN = "demo-token-9c1d"
TYPES = "/management/contenttypes/v1/development"


@pytest.fixture
def server() -> Iterator[BloomreachServer]:
    with BloomreachServer(token=TOKEN) as running:
        yield running


@pytest.fixture
def site(server: BloomreachServer, tmp_path: Path) -> TinySite:
    source = {
        "kind": "bloomreach",
        "baseUrl": server.url,
        "tokenEnv": "CMS_SECRET_TOKEN",
        "site": False,
        "content": None,
        "requestsPerSecond": 1000.0,
    }
    environment = {"CMS_SECRET_TOKEN": TOKEN}
    return an_offline_site(tmp_path, "bloomreach", environment=environment, configuration={"source": source})


@pytest.fixture
def context(site: TinySite) -> SiteContext:
    return opened(site).context


@pytest.fixture
def backup_id(site: TinySite) -> str:
    return captured_configuration(site)


def change(server: BloomreachServer, name: str, value: str) -> None:
    """Change a content type in the development project, as a developer does in the product."""
    types = server.state.content_types("development")
    version = server.state.version(f"contenttypes/development/{name}")
    server.state.put_content_type("development", name, {**types[name], "system": value}, version)


def forget(server: BloomreachServer, *names: str) -> None:
    server.state.content_types("development")
    for name in names:
        del server.state._projects["development"][name]


def puts(server: BloomreachServer) -> list[str]:
    return [each.path.rpartition("/")[2] for each in server.asked if each.method == "PUT"]


def call(site: TinySite, backup_id: str, *options: str, project: str = "development", **variables: str) -> Answer:
    return lc2(site, "restore-content-types", SITE, backup_id, "--project", project, *options, **variables)


def test_what_is_gone_comes_back_and_is_recorded(site, server, context, backup_id):
    forget(server, "retail:news", "retail:seo")
    answer = call(site, "latest")
    assert answer.code == 0, answer.err
    assert puts(server) == ["retail-seo", "retail-news"], "field groups first"
    assert "created retail:news" in answer.out
    assert "2 created, 0 replaced, 5 as they were" in answer.out
    assert server.state.content_types("development")["retail:news"]
    [record] = restores_of(context)
    assert (record["result"], record["point"]) == ("restored", backup_id)
    assert record["configuration"] == f"project development at {server.url}"
    assert record["content_types"]["created"] == ["retail:seo", "retail:news"]


def test_a_dry_run_prints_what_differs_and_writes_nothing(site, server, context, backup_id):
    change(server, "retail:news", "theirs")
    forget(server, "retail:seo")
    answer = call(site, backup_id, "--dry-run")
    assert answer.code == 0, answer.err
    assert "conflict retail:news: it is there with other content" in answer.out
    assert '~ system: "theirs" → null' in answer.out
    assert "create retail:seo" in answer.out
    assert "dry run: nothing was changed" in answer.out
    assert (puts(server), restores_of(context)) == ([], [])


def test_a_conflict_stops_all_of_it_until_it_is_named(site, server, context, backup_id):
    change(server, "retail:news", "theirs")
    forget(server, "retail:seo")
    answer = call(site, backup_id)
    assert answer.code == 1
    assert "retail:news; nothing was changed" in answer.err
    assert "--overwrite retail:news" in answer.err
    assert (puts(server), restores_of(context)) == ([], [])

    answer = call(site, backup_id, "--overwrite", "retail:news")
    assert answer.code == 0, answer.err
    assert puts(server) == ["retail-seo", "retail-news"]
    assert server.state.content_types("development")["retail:news"]["system"] is None
    assert restores_of(context)[-1]["content_types"]["replaced"] == ["retail:news"]


def test_a_change_between_plan_and_write_is_left_as_it_is_and_told(site, server, context, backup_id):
    change(server, "retail:news", "theirs")
    forget(server, "retail:seo")

    def meanwhile(answer):
        change(server, "retail:news", "newer")
        return answer

    # When the first one is written, somebody changes the next.
    server.fail(meanwhile, f"{TYPES}/retail-seo", method="PUT", before=False)
    answer = call(site, backup_id, "--overwrite", "retail:news")
    assert answer.code == 1
    assert "retail:news: somebody has changed it since the plan was made" in answer.err
    assert "created retail:seo" in answer.out
    assert server.state.content_types("development")["retail:news"]["system"] == "newer"
    [record] = restores_of(context)
    assert (record["result"], record["content_types"]["conflict"]) == ("failed", ["retail:news"])
    assert record["content_types"]["created"] == ["retail:seo"]


def test_json_is_one_document_also_when_it_fails(site, server, backup_id):
    change(server, "retail:news", "theirs")
    told = lc2(site, "--json", "restore-content-types", SITE, backup_id, "--project", "development", "--dry-run").json
    assert (told["backup_id"], told["project"], told["dry_run"]) == (backup_id, "development", True)
    [step] = [step for step in told["steps"] if step["state"] == "conflict"]
    assert step["name"] == "retail:news"
    assert step["changes"]["keys"][0]["key"] == "system"

    server.fail(answering(409), f"{TYPES}/retail-news", method="PUT")
    answer = lc2(
        site,
        "--json",
        "restore-content-types",
        SITE,
        backup_id,
        "--project",
        "development",
        "--overwrite",
        "retail:news",
    )
    assert answer.code == 1
    states = {step["name"]: step["state"] for step in answer.json["steps"]}
    assert (states["retail:news"], states["retail:seo"]) == ("conflict", "unchanged")


@pytest.mark.parametrize(
    ("project", "told"), [("core", "not restored into the live project"), ("vIUy9", "has no project 'vIUy9'")]
)
def test_only_a_development_project_that_is_there_is_written(site, server, context, backup_id, project, told):
    answer = call(site, backup_id, project=project)
    assert answer.code == 1
    assert told in answer.err
    assert (puts(server), restores_of(context)) == ([], [])


def test_a_wrong_token_ends_it_before_anything_is_written(site, server, context, backup_id):
    answer = call(site, backup_id, CMS_SECRET_TOKEN="wrong-one")
    assert answer.code == 1
    assert "AccessDenied" in answer.err
    assert (puts(server), restores_of(context)) == ([], [])


def test_a_token_that_may_not_write_the_second_one_is_recorded_with_the_first(site, server, context, backup_id):
    forget(server, "retail:news", "retail:seo")
    server.fail(answering(403), f"{TYPES}/retail-news", method="PUT", times=99)
    answer = call(site, backup_id)
    assert answer.code == 1
    assert "before it failed: created retail:seo" in answer.err
    [record] = restores_of(context)
    assert (record["result"], record["content_types"]) == ("failed", {"unchanged": ANY, "created": ["retail:seo"]})


def test_an_api_that_is_away_ends_with_3(site, server, backup_id, monkeypatch):
    monkeypatch.setattr(config, "Patience", lambda **told: Patience(tries=1))
    server.stop()
    assert call(site, backup_id).code == 3


def test_a_name_that_the_backup_does_not_have_is_told(site, backup_id):
    answer = call(site, backup_id, "--overwrite", "retail:nwes")
    assert answer.code == 1
    assert "has no content type retail:nwes" in answer.err
    assert "retail:news" in answer.err


def test_a_site_without_these_apis_is_told(site, backup_id):
    folder = {"kind": "directory", "path": str(site.root)}
    other = site.changed(site.root, configuration__source=folder)
    answer = call(other, backup_id)
    assert answer.code == 1
    assert "has no content types to restore" in answer.err


def test_a_project_must_be_named(site, backup_id):
    assert lc2(site, "restore-content-types", SITE, backup_id).code == 2
