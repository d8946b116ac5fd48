"""The API client: the token, repetition, errors that say what to do and never hold a secret."""

import gzip
import logging
import pickle
import socket
import threading
import traceback
from dataclasses import replace

import pytest

from lc2_backup_dagster.applications.bloomreach.client import ApiClient, api_path
from lc2_backup_dagster.applications.bloomreach.token import token_from_file, token_from_variable
from lc2_backup_dagster.applications.http.patience import Patience, retry_after_seconds, wait_seconds
from lc2_backup_dagster.applications.http.transport import HttpLimits, HttpRequest, check_base_url
from lc2_backup_dagster.demo.servers.bloomreach_faults import (
    answering,
    broken_json,
    cut_connection,
    dripping,
    hang_up,
    html_page,
    redirect,
    slow,
)
from lc2_backup_dagster.demo.servers.ports import free_ports
from lc2_backup_dagster.model.errors import (
    AccessDenied,
    AnswerInvalid,
    ConfigurationError,
    ObjectNotFound,
    RequestRefused,
    ResourceConflict,
    ServiceUnavailable,
)
from lc2_backup_dagster_tests.applications.bloomreach.asking import TokenStore, a_client

TYPES = "/management/contenttypes/v1/core"
SEO = f"{TYPES}/retail-seo"
DEVELOPMENT_SEO = "/management/contenttypes/v1/development/retail-seo"


def test_a_resource_comes_with_its_version(client, server):
    answer = client.get(SEO)
    assert answer.value["name"] == "retail:seo"
    assert answer.version == "1"
    assert server.asked[-1].headers["x-auth-token"] == "demo-token"


@pytest.mark.parametrize(
    "spoil",
    [answering(500), answering(502), answering(503), answering(408), hang_up, cut_connection, broken_json, html_page],
)
def test_what_passes_is_asked_again(spoil, client, server, time):
    server.fail(spoil, SEO, times=2)
    assert client.get(SEO).value["name"] == "retail:seo"
    assert server.count("GET", SEO) == 3
    assert time.long_waits == [0.5, 1.0]


@pytest.mark.parametrize(
    ("spoil", "error", "told"),
    [
        (answering(500, message="index is rebuilding"), ServiceUnavailable, "answered 500: index is rebuilding"),
        (hang_up, ServiceUnavailable, "the connection broke"),
        (cut_connection, ServiceUnavailable, "broke"),
        (html_page, AnswerInvalid, "answered 200 without JSON"),
        (broken_json, AnswerInvalid, "answered 200 without JSON"),
    ],
)
def test_what_does_not_pass_is_told_with_how_often_it_was_tried(spoil, error, told, client, server, time):
    server.fail(spoil, SEO, times=99)
    with pytest.raises(error, match=rf"GET {SEO} at http://127.*{told}.*\(tried 4 times in 4 s\)"):
        client.get(SEO)
    assert server.count("GET", SEO) == 4
    assert time.long_waits == [0.5, 1.0, 2.0]


def test_throttling_is_waited_out_as_long_as_the_api_asks(client, server, time):
    server.fail(answering(429, retry_after="17"), SEO)
    server.fail(answering(503, retry_after="Mon, 23 Nov 2026 02:01:00 GMT"), SEO)
    assert client.get(SEO).version == "1"
    assert time.long_waits[0] == 17.0
    assert time.long_waits[1] == pytest.approx(60.0 - 17.0, abs=1.0)


def test_an_api_that_asks_for_more_than_patience_has_is_not_waited_for(make_client, server, time):
    server.fail(answering(429, retry_after="3600"), SEO, times=9)
    with pytest.raises(ServiceUnavailable, match=r"answered 429.*tried once in 0 s, asked to wait 3600 s more"):
        make_client(patience=Patience(total_seconds=300)).get(SEO)
    assert not time.long_waits


def test_requests_keep_a_pace(make_client, time):
    client = make_client(patience=Patience(requests_per_second=5))
    for _ in range(4):
        client.get(SEO)
    assert time.waits == pytest.approx([0.2, 0.2, 0.2])


def test_a_silent_server_is_given_up(make_client, server):
    server.fail(slow(5), SEO, times=2)
    client = make_client(patience=Patience(tries=2), limits=HttpLimits(read_seconds=0.05))
    with pytest.raises(ServiceUnavailable, match=r"was not answered in time \(tried 2 times"):
        client.get(SEO)


def test_a_server_that_drips_is_given_up_although_bytes_keep_coming(server, tokens):
    server.fail(dripping(0.01), TYPES)
    limits = HttpLimits(read_seconds=5, exchange_seconds=0.1)
    with (
        ApiClient(server.url, tokens, patience=Patience(tries=1), limits=limits) as client,
        pytest.raises(ServiceUnavailable, match="not answered to its end in time"),
    ):
        client.get(TYPES)


def test_an_answer_that_is_too_long_is_not_read_to_its_end_and_not_asked_for_again(make_client, server):
    with pytest.raises(AnswerInvalid, match="answers more than 1000 bytes"):
        make_client(limits=HttpLimits(answer_bytes=1000)).get(TYPES)
    assert server.count("GET", TYPES) == 1


def test_no_connection_is_unavailable(tokens, time):
    [port] = free_ports(1)
    with (
        a_client(f"http://127.0.0.1:{port}", tokens, time) as client,
        pytest.raises(ServiceUnavailable, match="no connection") as caught,
    ):
        client.post("/x", {})
    assert caught.value.attributes["sent"] is False
    assert len(time.long_waits) == 3  # also a POST: it was certainly not carried out


def test_a_post_is_not_repeated_when_it_may_have_been_carried_out(client, server):
    for spoil in (hang_up, answering(500), answering(503, retry_after="1")):
        server.fail(spoil, "/content-export/v1", method="POST")
        with pytest.raises(ServiceUnavailable) as caught:
            client.post("/management/content-export/v1", {"dataTypes": ["page"], "sourcePath": "/content"})
        assert caught.value.attributes["sent"] is True
    assert server.count("POST", "content-export") == 3


def test_a_post_that_was_throttled_is_repeated(client, server):
    server.fail(answering(429), "/content-export/v1", method="POST", before=True)
    client.post("/management/content-export/v1", {"dataTypes": ["page"], "sourcePath": "/content"})
    assert len(server.state.operations) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, RequestRefused), (405, RequestRefused), (403, AccessDenied), (404, ObjectNotFound), (409, ResourceConflict),
     (412, ResourceConflict), (422, RequestRefused)],
)  # fmt: skip
def test_what_a_person_must_look_at_is_told_at_once(status, error, client, server, time):
    server.fail(answering(status, message="the reason"), SEO, times=9)
    with pytest.raises(error, match="the reason"):
        client.get(SEO)
    assert server.count("GET", SEO) == 1
    assert not time.long_waits


def test_a_redirect_is_not_followed_and_carries_no_token_away(client, server):
    server.fail(redirect("http://127.0.0.1:1/elsewhere"), SEO)
    with pytest.raises(ConfigurationError, match="redirects"):
        client.get(SEO)


# The token.


def test_a_token_that_expires_in_the_middle_is_read_again(client, server, tokens):
    client.get(SEO)
    server.renew_token("fresh-token")
    tokens.token = "fresh-token"
    assert client.get(SEO).version == "1"
    assert (tokens.reads, client.get(SEO).version, tokens.reads) == (2, "1", 2)


def test_a_token_may_expire_again_and_again(client, server, tokens):
    for number in range(3):
        tokens.token = f"token-{number}"
        server.renew_token(tokens.token)
        client.get(SEO)


def test_an_expired_token_that_was_not_renewed_is_told(client, server, tokens, time):
    client.get(SEO)
    server.expire_token()
    with pytest.raises(AccessDenied, match="not accepted.*wrong or has expired; renew it"):
        client.get(SEO)
    assert tokens.reads == 2
    assert not time.long_waits


def test_a_renewed_token_that_is_refused_too_is_not_tried_for_ever(client, server, tokens):
    client.get(SEO)
    server.expire_token()
    tokens.token = "another-wrong-one"
    with pytest.raises(AccessDenied):
        client.get(SEO)
    assert server.count("GET", SEO) == 3


def test_a_post_with_an_expired_token_is_sent_again_with_the_new_one(client, server, tokens):
    client.get(SEO)
    server.renew_token("fresh-token")
    tokens.token = "fresh-token"
    client.post("/management/content-export/v1", {"dataTypes": ["page"], "sourcePath": "/content"})
    assert len(server.state.operations) == 1


def test_a_token_comes_from_a_file_that_may_change(tmp_path):
    file = tmp_path / "token"
    file.write_text("one\n")
    read = token_from_file(file)
    assert read() == "one"
    file.write_text("two")
    assert read() == "two"


def test_a_token_comes_from_a_variable():
    assert token_from_variable({"BRX_TOKEN": "one"}, "BRX_TOKEN")() == "one"


@pytest.mark.parametrize("token", ["", "two words", "line\r\nX-Evil: 1", "ünicode", "x" * 9000])
def test_what_is_no_token_is_refused_without_repeating_it(token, tmp_path):
    (tmp_path / "token").write_text(token, encoding="utf-8", newline="")
    for read in (token_from_variable({"BRX_TOKEN": token}, "BRX_TOKEN"), token_from_file(tmp_path / "token")):
        with pytest.raises(ConfigurationError) as caught:
            read()
        assert not token or token not in str(caught.value)


def test_a_token_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match="token cannot be read from .*is it mounted"):
        token_from_file(tmp_path / "nothing")()


SECRET = "s3cr3t-t0ken-of-the-api"


@pytest.mark.parametrize(
    "spoil",
    [
        answering(400, message=f"bad token {SECRET}"),
        answering(500, message=f"x-auth-token: {SECRET}"),
        answering(401, message=SECRET),
        answering(403, message=f"{SECRET} may not"),
        answering(404, message=f"no {SECRET}"),
        hang_up,
        html_page,
        broken_json,
        slow(5),
        redirect(f"http://127.0.0.1:1/?token={SECRET}"),
    ],
)
def test_a_token_is_never_in_an_error_or_a_log(spoil, server, time, caplog):
    caplog.set_level(logging.DEBUG)
    server.renew_token(SECRET)
    server.fail(spoil, SEO, times=9)
    client = a_client(
        server.url, TokenStore(SECRET), time, limits=HttpLimits(read_seconds=0.2), patience=Patience(tries=2)
    )
    with client, pytest.raises(Exception) as caught:
        client.get(SEO)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__dict__) + caplog.text + repr(client)
    assert SECRET not in told
    assert SECRET not in repr(pickle.loads(pickle.dumps(caught.value)).__dict__)


def test_a_request_does_not_show_its_headers():
    assert SECRET not in repr(HttpRequest("GET", "/x", headers={"x-auth-token": SECRET}, body=SECRET.encode()))


# Addresses.


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://cms.example", "in clear text"),
        ("ftp://cms.example", "no address of an API"),
        ("cms.example", "no address of an API"),
        ("https://", "no address of an API"),
        ("https://user:pass@cms.example", "more than host and path"),
        ("https://cms.example/?a=b", "more than host and path"),
        ("https://cms.example:port", "is no URL"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url, reason):
    with pytest.raises(ConfigurationError, match=reason) as caught:
        check_base_url(url)
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://localhost:8080/cms/", "http://127.0.0.1", "http://[::1]:1", "https://cms.example/"]
)
def test_other_addresses_are_used(url):
    assert check_base_url(url) == url.rstrip("/")


def test_names_are_escaped_in_paths():
    assert api_path("/api", "a b/c", "retail:é") == "/api/a%20b%2Fc/retail:%C3%A9"
    for name in ("..", ".", ""):
        with pytest.raises(AnswerInvalid):
            api_path("/api", name)


def test_credentials_of_netrc_are_not_sent(client, server, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    client.get(SEO)
    assert "authorization" not in server.asked[-1].headers


def test_a_certificate_that_is_not_trusted_is_not_a_passing_fault(tokens, time):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"\x15\x03\x01\x00\x02\x02\x28")  # a fatal alert

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with (
            a_client(f"https://127.0.0.1:{listening.getsockname()[1]}", tokens, time) as client,
            pytest.raises(ConfigurationError, match="certificate is not trusted"),
        ):
            client.get("/x")
        thread.join(5)


def test_a_compressed_answer_is_read(client, server):
    def pack(answer):
        return replace(answer, body=gzip.compress(answer.body)).with_header("Content-Encoding", "gzip")

    server.fail(pack, SEO)
    assert client.get(SEO).value["name"] == "retail:seo"


def test_a_compressed_answer_is_measured_unpacked(make_client, server):
    def bomb(answer):
        return replace(answer, body=gzip.compress(bytes(10_000_000))).with_header("Content-Encoding", "gzip")

    server.fail(bomb, SEO)
    with pytest.raises(AnswerInvalid, match="more than 100000 bytes"):
        make_client(limits=HttpLimits(answer_bytes=100_000)).get(SEO)


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (HEAD + b'3\r\n{"a\r\n6\r\n": 1}\n\r\n0\r\n\r\n', None),
        (HEAD + b'3\r\n{"a\r\n6\r\n": 1}\n\r\n', "the answer broke off"),
        (HEAD + b'3\r\n{"a\r\n6\r\n": 1', "the answer broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{}", "the answer broke off"),
    ],
)
def test_an_answer_in_chunks_is_read_to_its_end_or_not_at_all(answer, error, tokens, time):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with a_client(address, tokens, time, patience=Patience(tries=1)) as client:
            if error is None:
                assert client.get("/x").value == {"a": "1"}
            else:
                with pytest.raises(ServiceUnavailable, match=error):
                    client.get("/x")
        thread.join(5)


# Arithmetic.


def test_waits_grow_to_a_limit_and_half_of_them_is_chance():
    patience = Patience(first_wait_seconds=1, longest_wait_seconds=10)
    assert [wait_seconds(patience, tries, asked_for=None, jitter=1.0) for tries in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert wait_seconds(patience, 3, asked_for=None, jitter=0.0) == 2
    assert wait_seconds(patience, 1, asked_for=99, jitter=1.0) == 99
    assert wait_seconds(patience, 6, asked_for=1, jitter=1.0) == 10
    assert wait_seconds(patience, 5000, asked_for=None, jitter=1.0) == 10


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("5", 5.0), (" 0 ", 0.0), ("-1", None), ("soon", None), ("Mon, 23 Nov 2026 02:00:30 GMT", 30.0),
     ("Mon, 23 Nov 2020 02:00:30 GMT", 0.0), ("9" * 50, 999999999.0), ("٣", None)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(header, seconds, time):
    assert retry_after_seconds(header, now=time.timing().now()) == seconds
