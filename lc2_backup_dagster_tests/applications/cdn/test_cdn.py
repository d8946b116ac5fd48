"""The CDN after a restore of files: told in batches, by HTTP or a command, and a failure is told, too."""

import json
import sys
import time

import pytest

from lc2_backup_dagster.applications.cdn.command import CommandInvalidation
from lc2_backup_dagster.applications.cdn.http import HttpInvalidation
from lc2_backup_dagster.applications.http.patience import Patience
from lc2_backup_dagster.demo.servers.bloomreach_faults import answering, hang_up, redirect
from lc2_backup_dagster.engines.files.restore.invalidation import Invalidation, PathRules, invalidate
from lc2_backup_dagster.model.errors import (
    ConfigurationError,
    RequestRefused,
    ServiceUnavailable,
    ToolFailed,
    ToolMissing,
)


@pytest.fixture
def purge(server, time):
    """What a site says of its CDN."""

    def make(**options):
        return HttpInvalidation(
            f"{server.url}/cdn/purge",
            headers={"Authorization": lambda: "Bearer cdn-s3cr3t"},
            patience=Patience(tries=3),
            timing=time.timing(),
            **options,
        )

    return make


def a_script(text):
    return [sys.executable, "-c", text]


def test_every_path_is_named_in_batches(server, purge):
    keys = [f"a/{number}.jpg" for number in range(250)]
    done = invalidate(keys, purge(), PathRules(prefix="/binaries/"))
    assert done == Invalidation(paths=250, calls=3, failures=(), failed_calls=0)
    assert done.succeeded
    assert done.text() == "CDN: 250 paths invalidated in 3 calls"
    assert [path for each in server.invalidated for path in each["paths"]] == [f"/binaries/{key}" for key in keys]
    assert server.invalidated[0]["authorization"] == "Bearer cdn-s3cr3t"


def test_more_members_of_the_call_are_sent(server, purge):
    invalidate(["x"], purge(more={"zone": "retail"}, field_name="files"))
    assert (server.invalidated[0]["zone"], server.invalidated[0]["files"]) == ("retail", ["/x"])


def test_very_many_paths_become_everything(server, purge):
    done = invalidate(
        (str(number) for number in range(100_000)), purge(), PathRules(everything="/*", everything_above=500)
    )
    assert (done.paths, done.calls) == (100_000, 1)
    assert [each["paths"] for each in server.invalidated] == [["/*"]]


def test_a_cdn_without_a_word_for_everything_is_told_of_each(server, purge):
    rules = PathRules(everything=None, everything_above=10, per_call=7)
    assert invalidate((str(number) for number in range(30)), purge(), rules).calls == 5
    assert sum(len(each["paths"]) for each in server.invalidated) == 30


def test_nothing_restored_calls_nobody(server, purge):
    assert invalidate([], purge()) == Invalidation(0, 0, (), 0)
    assert not server.invalidated


def test_keys_are_escaped():
    assert PathRules(prefix="/b/").path("a b/ü?.jpg") == "/b/a%20b/%C3%BC%3F.jpg"


@pytest.mark.parametrize("spoil", [answering(500), answering(429, retry_after="2"), hang_up])
def test_what_passes_is_called_again(spoil, server, purge):
    server.fail(spoil, "/cdn/", times=2)
    assert invalidate(["a"], purge()).succeeded


def test_a_failure_is_told_and_does_not_stop_the_other_calls(server, purge):
    server.fail(answering(403), "/cdn/")
    done = invalidate([str(number) for number in range(250)], purge())
    assert not done.succeeded
    assert (done.calls, done.failed_calls) == (3, 1)
    assert done.text().startswith("CDN: 1 of 3 calls failed, it may serve old files: POST http://127.0.0.1")
    assert len(server.invalidated) == 3  # the server counted it before it answered
    assert "cdn-s3cr3t" not in done.text() + repr(purge())


def test_a_cdn_that_is_away_is_told_after_a_while(server, purge, time):
    server.fail(answering(503), "/cdn/", times=99)
    done = invalidate(["a"], purge())
    assert "answered 503 (tried 3 times" in done.failures[0]


def test_many_failures_are_counted_and_some_kept(server, purge):
    refused = iter(range(1000))

    def call(paths):
        if next(refused) % 5 < 4:  # one in five succeeds, so that it is worth to go on
            raise RequestRefused("refused")

    done = invalidate([str(number) for number in range(50)], call, PathRules(per_call=1))
    assert (done.calls, done.failed_calls, len(done.failures), done.untold) == (50, 40, 20, 0)


def test_a_cdn_that_is_gone_is_not_called_for_each_of_very_many_files(server, purge):
    server.fail(answering(400), "/cdn/", times=999)
    done = invalidate((str(number) for number in range(100_000)), purge())
    assert (done.paths, done.calls, done.failed_calls, done.untold) == (100_000, 5, 5, 99_500)
    assert not done.succeeded
    assert "5 of 5 calls failed, 99500 of 100000 paths were not sent any more" in done.text()


def test_a_redirect_takes_no_secret_elsewhere(server, purge):
    server.fail(redirect("http://127.0.0.1:1/"), "/cdn/")
    assert "was refused with 302" in invalidate(["a"], purge()).failures[0]


def test_an_address_in_clear_text_is_a_failure_too():
    done = invalidate(["a"], HttpInvalidation("http://cdn.example/purge"))
    assert "in clear text" in done.failures[0]
    with pytest.raises(ConfigurationError):
        HttpInvalidation("http://cdn.example/purge")(["a"])


def test_a_command_reads_paths_from_its_input(tmp_path):
    out = tmp_path / "paths"
    script = f"import sys; open({str(out)!r}, 'w').write(sys.stdin.read())"
    assert invalidate(["a", "b c"], CommandInvalidation(a_script(script))).succeeded
    assert out.read_text() == "/a\n/b%20c\n"


def test_a_command_that_fails_is_told_with_its_last_words():
    script = "import sys; print('quota exceeded'); print('api_token=hunter2'); sys.exit(3)"
    with pytest.raises(ToolFailed, match="ended with 3: quota exceeded") as caught:
        CommandInvalidation(a_script(script))(["a"])
    assert "hunter2" not in str(caught.value)


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path):
    mark = tmp_path / "child"
    child = f"import time; time.sleep(1); open({str(mark)!r}, 'w')"
    script = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    began = time.monotonic()
    with pytest.raises(ToolFailed, match="has not ended within 0.3 s"):
        CommandInvalidation(a_script(script), timeout_seconds=0.3)(["a"])
    assert time.monotonic() - began < 30
    time.sleep(1.2)
    assert not mark.exists()


def test_a_command_that_floods_its_output_does_not_fill_memory_or_hang():
    script = "import sys\nfor _ in range(3000): sys.stdout.write('x' * 10000 + '\\n')\nsys.exit(1)"
    with pytest.raises(ToolFailed) as caught:
        CommandInvalidation(a_script(script))(["a"])
    assert len(str(caught.value)) < 10_000


def test_a_command_that_reads_nothing_is_not_waited_for():
    CommandInvalidation(a_script("pass"))([f"/{number}" * 100 for number in range(100_000)])


def test_a_command_that_is_not_there_is_told():
    with pytest.raises(ToolMissing, match="'/no/such/program' cannot be run"):
        CommandInvalidation(["/no/such/program"])(["a"])


def test_secrets_of_the_service_are_not_handed_to_a_command(monkeypatch, tmp_path):
    monkeypatch.setenv("RETAIL_DB_PASSWORD", "hunter2")
    out = tmp_path / "environment"
    script = f"import json, os; open({str(out)!r}, 'w').write(json.dumps(dict(os.environ)))"
    CommandInvalidation(a_script(script), environment={"CDN_ZONE": "retail"})(["a"])
    environment = json.loads(out.read_text())
    assert "RETAIL_DB_PASSWORD" not in environment
    assert environment["CDN_ZONE"] == "retail"


def test_an_http_call_that_fails_for_good_raises(server, purge):
    server.fail(answering(500), "/cdn/", times=99)
    with pytest.raises(ServiceUnavailable):
        purge()(["a"])
