"""The demo's Bloomreach server: it behaves like the APIs also where our client does not look."""

import json
import zipfile
from io import BytesIO

import pytest
import requests

from lc2_backup_dagster.demo.seed.bloomreach_content import edit, retail_content
from lc2_backup_dagster.demo.servers.bloomreach import BloomreachServer
from lc2_backup_dagster.demo.servers.bloomreach_faults import answering


@pytest.fixture(scope="module")
def server():
    with BloomreachServer() as running:
        yield running


def ask(server, method, path, *, token="demo-token", **options):
    headers = {"x-auth-token": token} if token else {}
    headers |= options.pop("headers", {})
    return requests.request(method, f"{server.url}{path}", headers=headers, timeout=10, **options)


def test_it_listens_on_this_machine_only(server):
    assert server._server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("token", [None, "wrong", ""])
def test_nothing_is_answered_without_the_token(token, server):
    for path in ("/management/contenttypes/v1/core", "/management/site/v1/channels", "/management/content-export/v1/x"):
        assert ask(server, "GET", path, token=token).status_code == 401


def test_a_token_expires_after_so_many_requests():
    with BloomreachServer() as server:
        server.expire_token(after_requests=2)
        codes = [ask(server, "GET", "/management/site/v1/channels").status_code for _ in range(4)]
        assert codes == [200, 200, 401, 401]
        server.renew_token("new")
        assert ask(server, "GET", "/management/site/v1/channels", token="new").status_code == 200


def test_a_content_type_is_written_over_its_version_only():
    with BloomreachServer() as server:
        path = "/management/contenttypes/v1/development/retail-seo"
        current = ask(server, "GET", path)
        assert current.headers["X-Resource-Version"] == "1"
        assert ask(server, "PUT", path, json=current.json()).status_code == 409
        stale = {"X-Resource-Version": "7"}
        assert ask(server, "PUT", path, json=current.json(), headers=stale).status_code == 409
        version = {"X-Resource-Version": "1"}
        assert ask(server, "PUT", path, json=current.json(), headers=version).headers["X-Resource-Version"] == "2"
        assert ask(server, "PUT", path, json=current.json(), headers=version).status_code == 409
        live = path.replace("development", "core")
        assert ask(server, "PUT", live, json=current.json(), headers=version).status_code == 403
        renamed = {**current.json(), "name": "retail:other"}
        assert ask(server, "PUT", path, json=renamed, headers={"X-Resource-Version": "2"}).status_code == 400


def test_without_a_development_project_there_is_nothing_to_write():
    with BloomreachServer(development=False) as server:
        answer = ask(server, "GET", "/management/contenttypes/v1/development")
        assert (answer.status_code, answer.json()["message"]) == (404, "there is no development project")


def test_an_export_runs_and_then_has_a_file(server):
    asked = {"branch": "core", "sourcePath": "/content/documents/retail-de/", "dataTypes": ["document", "folder"]}
    begun = ask(server, "POST", "/management/content-export/v1/", json=asked)
    assert begun.status_code == 201
    operation = f"/management/content-export/v1/operations/{begun.json()['operationId']}"
    assert ask(server, "GET", f"{operation}/files").status_code == 404
    statuses = [ask(server, "GET", operation).json()["status"] for _ in range(3)]
    assert statuses == ["STARTING", "STARTED", "COMPLETED"]
    archive = zipfile.ZipFile(BytesIO(ask(server, "GET", f"{operation}/files").content))
    items = [json.loads(line) for line in archive.read("export.ndjson").splitlines()]
    assert {item["type"] for item in items} == {"document", "folder"}
    assert all(item["path"].startswith("/content/documents/retail-de") for item in items)


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"dataTypes": ["images"], "sourcePath": "/"}', b'{"dataTypes": ["page"]}']
)
def test_a_request_that_makes_no_sense_is_refused(body, server):
    assert ask(server, "POST", "/management/content-export/v1", data=body).status_code == 400


def test_what_is_not_there_is_not_found(server):
    for path in (
        "/",
        "/management/site/v1/channels/x/routes",
        "/management/contenttypes/v1/core/none",
        "/management/x",
    ):
        assert ask(server, "GET", path).status_code == 404


def test_a_fault_happens_as_often_as_it_was_told():
    with BloomreachServer() as server:
        server.fail(answering(500), "/channels", times=1, skip=1)
        codes = [ask(server, "GET", "/management/site/v1/channels").status_code for _ in range(3)]
        assert codes == [200, 500, 200]


def test_the_content_is_the_same_for_one_seed():
    assert retail_content() == retail_content()
    assert retail_content() != retail_content(seed="another")


def test_every_day_of_editing_changes_something_and_is_the_same_for_one_day():
    content, same = retail_content(), retail_content()
    for day in range(1, 8):
        before = json.dumps([content.items, content.content_types, content.routes], sort_keys=True)
        assert edit(content, day) == edit(same, day)
        assert json.dumps([content.items, content.content_types, content.routes], sort_keys=True) != before
    assert content == same


def test_content_refers_to_what_is_there():
    content = retail_content()
    for item in content.items.values():
        parent = item["path"].rpartition("/")[0]
        assert parent in content.items or parent in ("/content/documents", "/content/documents/administration/labels")
        assert item.get("contentType", "retail:news") in content.content_types
    for channel_id in content.channels:
        for route in content.routes[channel_id].values():
            assert route["layout"] in content.layouts[channel_id]
