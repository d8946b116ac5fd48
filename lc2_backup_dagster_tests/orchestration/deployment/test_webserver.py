"""The guard in front of Dagster's real web application; fails when an upgrade moves what `webserver` builds on."""

import http.client
import json
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from lc2_backup_dagster.model.errors import PermanentError
from lc2_backup_dagster.orchestration.deployment.webserver import guard_rules, main
from lc2_backup_dagster_tests.orchestration.deployment.conftest import Deployment

LAUNCH = """mutation { launchRun(executionParams: {selector: {repositoryLocationName: "lc2_backup",
  repositoryName: "__repository__", jobName: "plain_job"}}) { __typename } }"""


def ask(deployment: Deployment, method: str, path: str, *, body: str | None = None, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", deployment.processes.port, timeout=30)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        # An accepted web socket stays open: there is no end to read.
        return response.status, "" if response.status == 101 else response.read().decode()
    finally:
        connection.close()


@pytest.mark.journey
def test_the_ui_is_served(deployment: Deployment) -> None:
    status, page = ask(deployment, "GET", "/overview/activity/timeline", Accept="text/html")
    assert status == 200
    assert "Dagster" in page
    assert ask(deployment, "GET", "/graphql?query=" + quote("{version}"))[0] == 200


@pytest.mark.journey
def test_a_mutation_by_get_launches_nothing(deployment: Deployment) -> None:
    before = len(deployment.client.runs())
    assert ask(deployment, "GET", "/graphql?query=" + quote(LAUNCH))[0] == 405
    assert len(deployment.client.runs()) == before


@pytest.mark.journey
def test_a_green_window_cannot_be_reported_from_outside(deployment: Deployment) -> None:
    asset = ["retail", "liferay", "database"]
    path = "/report_asset_materialization/retail/liferay/database?partition=2026-03-01"
    assert ask(deployment, "POST", path)[0] == 403
    with pytest.raises(PermanentError, match="only a backup that was taken may be shown as one"):
        deployment.client.query(
            """mutation { reportRunlessAssetEvents(eventParams: {eventType: ASSET_MATERIALIZATION,
            assetKey: {path: ["retail", "liferay", "database"]}, partitionKeys: ["2026-03-01"]}) { __typename } }"""
        )
    assert deployment.client.partitions(asset)["2026-03-01"] == "MISSING"


@pytest.mark.journey
def test_pages_of_other_sites_launch_nothing(deployment: Deployment) -> None:
    before = len(deployment.client.runs())
    body = json.dumps({"query": LAUNCH})
    as_json = {"Content-Type": "application/json"}
    assert ask(deployment, "POST", "/graphql", body=body, Origin="https://evil.example", **as_json)[0] == 403
    assert ask(deployment, "POST", "/graphql", body=body, Host="evil.example", **as_json)[0] == 403
    assert ask(deployment, "POST", "/graphql?query=" + quote(LAUNCH), **{"Content-Type": "text/plain"})[0] == 415
    assert len(deployment.client.runs()) == before


@pytest.mark.journey
def test_web_sockets_are_for_our_own_pages(deployment: Deployment) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "graphql-ws",
    }
    assert ask(deployment, "GET", "/graphql", Origin="https://evil.example", **upgrade)[0] == 403
    assert ask(deployment, "GET", "/graphql", Origin=deployment.processes.url, **upgrade)[0] == 101


def test_options_become_rules() -> None:
    rules = guard_rules(
        host="::",
        allowed_hosts=("Backup.example.com",),
        allowed_origins=("https://x/",),
        trusted_proxies=("10.0.0.0/8",),
    )
    assert rules.hosts == {"localhost", "127.0.0.1", "[::1]", "backup.example.com"}
    assert rules.origins == {"https://x"}
    assert len(rules.trusted_proxies) == 1


def test_a_wrong_proxy_is_refused_before_anything_starts() -> None:
    result = CliRunner().invoke(main, ["--trusted-proxy", "the proxy"])
    assert result.exit_code == 2
    assert "does not appear to be an IPv4 or IPv6 network" in result.output
