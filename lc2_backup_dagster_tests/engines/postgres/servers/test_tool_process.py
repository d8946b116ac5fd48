"""Child processes: their ends, their secrets, their death."""

import os
import re
import signal
import subprocess
import sys

import psutil
import pytest

from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.engines.postgres.servers.tool_process import (
    BackgroundTool,
    IgnorableErrors,
    ToolSink,
    ToolStream,
    run_tool,
    tool_environment,
)
from lc2_backup_dagster.model.errors import AccessDenied, ServerUnavailable, StorageFull, ToolFailed, ToolMissing
from lc2_backup_dagster_tests.engines.postgres.asking import until

SERVER = Server(host="db", port=5432, user="u", password="hunter2", database="d")


def a_shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def test_output_is_read_to_its_end():
    assert run_tool(a_shell("printf 'a%.0s' 1 2 3; sleep 0.1; printf b"), server=None) == b"aaab"


def test_the_end_of_a_failed_tools_output_is_an_error():
    with ToolStream(a_shell("echo some bytes; echo it broke >&2; exit 3"), server=None) as stream:
        assert stream.read(100) == b"some bytes\n"
        with pytest.raises(ToolFailed, match="exit code 3: it broke"):
            stream.read(100)


def test_a_tool_killed_by_a_signal_is_an_error():
    with pytest.raises(ToolFailed, match="killed by SIGTERM"):
        run_tool(a_shell("kill -TERM $$"), server=None)


def test_a_tool_that_is_not_read_to_its_end_is_an_error_and_is_killed():
    with pytest.raises(ToolFailed, match="stopped before its end"), ToolStream(a_shell("yes"), server=None) as stream:
        stream.read(10)
    assert not psutil.pid_exists(stream.pid)


def test_any_exception_kills_the_whole_group():
    with pytest.raises(KeyboardInterrupt), ToolStream(a_shell("sleep 1000 & echo $!; wait"), server=None) as stream:
        grandchild = int(stream.read(100))
        raise KeyboardInterrupt
    until(
        lambda: not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE,
        what="the grandchild is gone",
    )


def test_much_standard_error_neither_blocks_nor_grows():
    with pytest.raises(ToolFailed) as failure:
        run_tool(a_shell("i=0; while [ $i -lt 40000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1"), server=None)
    assert "line 39999" in str(failure.value)
    assert len(str(failure.value)) < 2000


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('connection to server at "db" failed: Connection refused', ServerUnavailable),
        ('connection to server failed: FATAL:  password authentication failed for user "u"', AccessDenied),
        ("could not write to file: No space left on device", StorageFull),
        ("FATAL:  terminating connection due to administrator command", ServerUnavailable),
        ("FATAL:  sorry, too many clients already", ServerUnavailable),
        ("something else", ToolFailed),
        ('ERROR:  role "x" does not exist', ToolFailed),
    ],
)
def test_last_words_are_translated_without_secrets(said, kind):
    with pytest.raises(kind) as failure:
        run_tool(["/bin/sh", "-c", 'echo "$1 hunter2" >&2; exit 1', "sh", said], server=SERVER)
    assert "hunter2" not in str(failure.value)


def test_the_password_is_in_the_environment_only_and_foreign_variables_are_not(monkeypatch):
    monkeypatch.setenv("PGOPTIONS", "-c evil=1")
    monkeypatch.setenv("PGSSLMODE", "disable")
    environment = tool_environment(SERVER)
    assert environment["PGPASSWORD"] == "hunter2"
    assert not {"PGOPTIONS", "PGSSLMODE"} & set(environment)
    assert "hunter2" not in SERVER.conninfo() + repr(SERVER) + str(SERVER)


def test_a_sink_takes_input_and_reports_failure():
    with ToolSink(a_shell("cat >/dev/null"), server=None) as sink:
        sink.write(b"x" * 3_000_000)
        sink.end_input()
    with pytest.raises(ToolFailed, match="no more"), ToolSink(a_shell("echo no more >&2; exit 2"), server=None) as sink:
        for _ in range(100):
            sink.write(b"x" * 100_000)
        sink.end_input()


def test_a_missing_program_is_named():
    with pytest.raises((ToolMissing, ToolFailed), match="/nowhere/pg_dump"):
        run_tool(["/nowhere/pg_dump"], server=None)


def test_a_silent_tool_does_not_outlive_its_killed_parent():
    script = (
        "from lc2_backup_dagster.engines.postgres.servers.tool_process import ToolStream\n"
        "with ToolStream(['/bin/sleep', '1000'], server=None) as stream:\n"
        "    print(stream.pid, flush=True)\n"
        "    stream.read(1)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    with parent:
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        os.kill(parent.pid, signal.SIGKILL)
    until(
        lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE,
        what="the tool has ended with its parent",
    )


IGNORABLE = IgnorableErrors(
    each=re.compile(rb"ERROR: +harmless"), any=re.compile(rb"^tool: error:"), total=re.compile(rb"ignored: (\d+)")
)


@pytest.mark.parametrize(
    ("said", "code", "succeeds"),
    [
        (["tool: error: ERROR:  harmless", "ignored: 1"], 1, True),
        (["tool: error: ERROR:  harmless"] * 4 + ["ignored: 2"], 1, True),  # parallel workers say more than they count
        (["tool: error: ERROR:  harmless", "ignored: 2"], 1, False),
        (["tool: error: ERROR:  harmless", "tool: error: ERROR:  relation exists", "ignored: 1"], 1, False),
        (["tool: error: ERROR:  harmless"], 1, False),
        (["ignored: 0"], 2, False),
    ],
)
def test_exit_code_1_is_success_only_after_nothing_but_ignorable_errors(said, code, succeeds):
    script = "; ".join(f"echo '{line}' >&2" for line in said) + f"; echo done; exit {code}"
    if succeeds:
        assert run_tool(a_shell(script), server=None, ignorable=IGNORABLE) == b"done\n"
    else:
        with pytest.raises(ToolFailed):
            run_tool(a_shell(script), server=None, ignorable=IGNORABLE)


def test_a_tool_in_the_background_tells_when_it_has_ended_and_how():
    with BackgroundTool(a_shell("sleep 0.2"), server=None) as tool:
        assert not tool.ended()
        until(tool.ended, what="it has ended")
    with (
        BackgroundTool(a_shell("echo it broke >&2; exit 3"), server=None) as tool,
        pytest.raises(ToolFailed, match="it broke"),
    ):
        until(tool.ended, what="it has failed")
    with (
        pytest.raises(ToolFailed, match="stopped before its end"),
        BackgroundTool(a_shell("sleep 99"), server=None) as tool,
    ):
        pass
    assert not psutil.pid_exists(tool.pid)
