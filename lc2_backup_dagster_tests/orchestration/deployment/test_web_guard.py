"""What the guard refuses, asked as ASGI messages against an application that answers everything."""

import asyncio
import ipaddress
import json
from typing import Any

import pytest

from lc2_backup_dagster.orchestration.deployment.web_guard import LARGEST_BODY_BYTES, GuardRules, WebGuard

MUTATION = 'mutation { terminateRun(runId: "x") { __typename } }'
RULES = GuardRules()


def ask(
    method: str = "GET",
    path: str = "/",
    *,
    query: str = "",
    headers: dict[str, str] | None = None,
    body: bytes | list[bytes] = b"",
    rules: GuardRules = RULES,
    kind: str = "http",
    client: str = "127.0.0.1",
) -> tuple[int, str, dict[str, Any]]:
    """Return the status, the text and, where it was passed on, the scope and body the application saw."""
    seen: dict[str, Any] = {}
    sent: list[Any] = []
    chunks = [body] if isinstance(body, bytes) else body
    incoming = [
        {"type": "http.request", "body": chunk, "more_body": n + 1 < len(chunks)} for n, chunk in enumerate(chunks)
    ]

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen["headers"] = {name.decode(): value.decode() for name, value in scope["headers"]}
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        received = b""
        while True:
            message = await receive()
            received += message.get("body", b"")
            if not message.get("more_body"):
                break
        seen["body"] = received
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"passed"})

    all_headers = {"host": "localhost:3000", **(headers or {})}
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in all_headers.items()],
        "client": (client, 4711),
    }
    asyncio.run(WebGuard(application, rules)(scope, receive, send))
    if kind == "websocket":
        return (101 if sent[0]["type"] == "websocket.accept" else 403), sent[0].get("reason", ""), seen
    return sent[0]["status"], sent[1]["body"].decode(), seen


def post(document: str, **headers: str) -> tuple[int, str, dict[str, Any]]:
    body = json.dumps({"query": document}).encode()
    return ask("POST", "/graphql", body=body, headers={"content-type": "application/json", **headers})


def test_pages_queries_and_mutations_by_post_pass_unchanged() -> None:
    assert ask("GET", "/runs")[0] == 200
    assert ask("GET", "/graphql", query="query={version}")[0] == 200
    status, _, seen = post(MUTATION)
    assert status == 200
    assert json.loads(seen["body"]) == {"query": MUTATION}


def test_a_body_in_pieces_reaches_the_application_whole() -> None:
    body = json.dumps({"query": "{version}"}).encode()
    status, _, seen = ask(
        "POST", "/graphql", body=[body[:5], body[5:]], headers={"content-type": "application/json; charset=utf-8"}
    )
    assert (status, seen["body"]) == (200, body)


@pytest.mark.parametrize(
    "query",
    [
        "query=mutation{launchRun{x}}",
        "query=mutation%20M%7BlaunchRun%7Bx%7D%7D",
        "query={version}&query=mutation{launchRun{x}}",
        "query=query+A{version}+mutation+B{launchRun{x}}&operationName=B",
        "query=%23+query%0Amutation{launchRun{x}}",
        "query=subscription{x}",
    ],
)
@pytest.mark.parametrize("path", ["/graphql", "/graphql/"])
def test_anything_but_a_query_is_refused_by_get(query: str, path: str) -> None:
    status, text, _ = ask("GET", path, query=query)
    assert status == 405
    assert "by GET is refused" in text


def test_a_document_that_cannot_be_read_is_refused() -> None:
    assert ask("GET", "/graphql", query="query=mutation{")[0] == 400
    assert ask("GET", "/graphql", query="query=" + "{a" * 20_000)[0] == 400
    json_headers = {"content-type": "application/json"}
    for body in (b"", b"nonsense", b"[]", b'{"query": 1}', b"[" * 100_000):
        assert ask("POST", "/graphql", body=body, headers=json_headers)[0] == 400


@pytest.mark.parametrize("kind", ["materialization", "check", "observation"])
def test_reporting_asset_events_from_outside_is_refused(kind: str) -> None:
    status, text, _ = ask("POST", f"/report_asset_{kind}/retail/liferay/database")
    assert status == 403
    assert "asset events are reported by runs" in text


def test_reporting_asset_events_by_mutation_is_refused_and_asking_about_it_is_not() -> None:
    assert post("mutation { reportRunlessAssetEvents(eventParams: {}) { __typename } }")[0] == 403
    assert post("mutation { x: reportRunlessAssetEvents(eventParams: {}) { __typename } }")[0] == 403
    assert post('{ hasPermission(name: "reportRunlessAssetEvents") }')[0] == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(method: str) -> None:
    assert ask(method, "/graphql")[0] == 405
    assert ask(method, "/runs")[0] == 403


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/graphql", ""])
def test_bodies_that_browsers_send_across_origins_without_asking_are_refused(content_type: str) -> None:
    assert ask("POST", "/graphql", query="query=" + MUTATION, headers={"content-type": content_type})[0] == 415


def test_pages_of_other_sites_are_refused_for_requests_and_web_sockets() -> None:
    for origin in ("https://evil.example", "http://localhost:9999", "null"):
        assert post(MUTATION, origin=origin)[0] == 403
        assert ask(path="/graphql", headers={"origin": origin}, kind="websocket")[0] == 403
    assert post(MUTATION, origin="http://localhost:3000")[0] == 200
    assert ask(path="/graphql", headers={"origin": "http://localhost:3000"}, kind="websocket")[0] == 101


def test_an_unknown_host_is_refused_but_for_probes() -> None:
    assert ask(headers={"host": "evil.example:3000"})[0] == 403
    assert ask(headers={"host": ""})[0] == 403
    assert ask(path="/server_info", headers={"host": "10.1.2.3:3000"})[0] == 200
    for host in ("127.0.0.1:3000", "[::1]:3000", "LOCALHOST"):
        assert ask(headers={"host": host})[0] == 200


def test_a_proxy_that_rewrites_the_host_names_its_origin() -> None:
    rules = GuardRules(hosts=frozenset({"dagster"}), origins=frozenset({"https://backup.example.com"}))
    headers = {"host": "dagster:80", "origin": "https://backup.example.com", "content-type": "application/json"}
    assert ask("POST", "/graphql", body=b'{"query": "{version}"}', headers=headers, rules=rules)[0] == 200


def test_rules_hold_below_a_path_prefix() -> None:
    rules = GuardRules(path_prefix="/backup")
    assert ask("GET", "/backup/graphql", query="query=mutation{a}", rules=rules)[0] == 405
    assert ask("POST", "/backup/report_asset_check/a", rules=rules)[0] == 403


def test_a_forwarded_user_is_believed_from_a_trusted_proxy_only() -> None:
    rules = GuardRules(trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"),))
    headers = {"x-forwarded-user": "alice"}
    assert "x-forwarded-user" not in ask(headers=headers)[2]["headers"]
    assert "x-forwarded-user" not in ask(headers=headers, rules=rules, client="192.0.2.1")[2]["headers"]
    assert ask(headers=headers, rules=rules, client="10.2.3.4")[2]["headers"]["x-forwarded-user"] == "alice"
    # A client's header beside the proxy's: which of them is the proxy's cannot be told.
    twice = {**headers, "X-Forwarded-User": "mallory"}
    assert "x-forwarded-user" not in {
        name.lower() for name in ask(headers=twice, rules=rules, client="10.2.3.4")[2]["headers"]
    }


def test_an_endless_body_is_refused() -> None:
    piece = b" " * (LARGEST_BODY_BYTES // 2 + 1)
    assert ask("POST", "/graphql", body=[piece, piece], headers={"content-type": "application/json"})[0] == 413
