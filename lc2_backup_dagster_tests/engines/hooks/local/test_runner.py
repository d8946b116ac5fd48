"""Real commands on this machine: how they end, what is left of them, what is told of them."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lc2_backup_dagster.engines.hooks.output import HEAD_BYTES, TAIL_BYTES
from lc2_backup_dagster.engines.hooks.redaction import Redaction
from lc2_backup_dagster.model.errors import HookFailed, HookTimedOut
from lc2_backup_dagster_tests.engines.hooks.hooking import ENVIRONMENT, Marked, a_hook, a_runner, python, shell


def run(hook, *, artifact=None, said=None, **runner):
    return a_runner(**runner).run(hook, run="", artifact=artifact, say=(said if said is not None else []).append)


@pytest.fixture
def marked():
    marked = Marked()
    yield marked
    for pid in marked.pids():
        os.kill(pid, signal.SIGKILL)


def test_output_of_both_kinds_is_kept_and_told_line_by_line():
    said: list[str] = []
    done = run(shell("echo one; echo two >&2; printf three"), said=said)
    assert done.output.text == "one\ntwo\nthree"
    assert said == ["one", "two", "three"]


def test_a_command_gets_no_shell_no_input_and_only_the_environment_it_is_given(monkeypatch):
    monkeypatch.setenv("LEAKED", "from the worker")
    assert run(a_hook("echo", "$HOME", "*")).output.text == "$HOME *\n"
    told = run(python("import os, sys; print(sorted(os.environ), sys.stdin.read() == '')")).output.text
    assert told == "['HOME', 'LANG', 'PATH'] True\n"


def test_signals_that_the_worker_ignores_or_blocks_are_those_of_a_new_login_for_the_command():
    """Started with ``&`` from a script a worker ignores SIGINT, and Dagster makes it ignore SIGTERM too."""
    names = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1]
    before = {name: signal.signal(name, signal.SIG_IGN) for name in names}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD])
    try:
        # Python handles SIGINT by itself, unless it was ignored when it began.
        script = "print([name for name in {!r} if s.getsignal(name) == s.SIG_IGN], s.pthread_sigmask(s.SIG_BLOCK, []))"
        told = run(python("import signal as s; " + script.format([int(name) for name in names]))).output.text
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for name, handler in before.items():
            signal.signal(name, handler)
    assert told == "[] set()\n"


def test_it_runs_in_its_directory_and_in_a_session_of_its_own(tmp_path):
    told = run(python("import os; print(os.getcwd(), os.getsid(0) == os.getpid())"), directory=tmp_path).output.text
    assert told == f"{tmp_path} True\n"


def test_an_exit_code_is_told_with_the_end_of_the_output():
    with pytest.raises(HookFailed, match=r"hook export ended with exit code 3; its output ends: one \| two$") as raised:
        run(shell("echo one; echo two >&2; exit 3"))
    assert raised.value.attributes == {"hook": "export", "exit_code": 3, "output": "one\ntwo\n"}


def test_a_signal_is_told_by_its_name():
    with pytest.raises(HookFailed, match=r"was killed by SIGSEGV; its output ends: \(it said nothing\)"):
        run(shell("kill -SEGV $$"))


def test_a_command_that_is_not_found_is_told_by_name(tmp_path):
    with pytest.raises(HookFailed, match="could not be started: drush-of-nowhere: no such file .* in PATH"):
        run(a_hook("drush-of-nowhere"))
    with pytest.raises(HookFailed, match=r"gone: no such file or directory; hint: workingDirectory must be there"):
        run(a_hook("true"), directory=tmp_path / "gone")
    plain = tmp_path / "plain"
    plain.write_text("no program")
    with pytest.raises(HookFailed, match="plain: permission denied"):
        run(a_hook(str(plain)))
    with pytest.raises(HookFailed, match="hint: exit code 127 mostly means that a command was not found: /bin/sh"):
        run(shell("nothing-of-that-name"))


def test_a_hanging_command_is_stopped_with_all_it_started(marked):
    with pytest.raises(HookTimedOut, match=r"was stopped after 1 s, nothing of it is left running; .*begun") as raised:
        run(shell("sleep 600 & echo begun; sleep 600", timeout_seconds=1), environment=marked.environment)
    assert isinstance(raised.value, HookFailed)
    assert marked.pids() == []


def test_a_command_may_put_things_in_order_when_its_time_is_over():
    script = "trap 'echo in order; exit 0' TERM; echo begun; while :; do sleep 0.05; done"
    with pytest.raises(HookTimedOut, match=r"begun \| .*in order"):
        run(shell(script, timeout_seconds=1), grace_seconds=20)


def test_a_command_that_ignores_term_is_killed(marked):
    script = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(600)"
    )
    with pytest.raises(HookTimedOut, match="deaf"):
        run(python(script, timeout_seconds=2), environment=marked.environment)
    assert marked.pids() == []


def test_a_process_that_left_the_session_and_ignores_term_does_not_survive_either(marked):
    script = "setsid sh -c 'trap \"\" TERM; echo away; while :; do sleep 1; done' & sleep 600"
    with pytest.raises(HookTimedOut, match="away"):
        run(shell(script, timeout_seconds=2), environment=marked.environment)
    assert marked.pids() == []


def test_a_child_in_the_background_that_holds_the_pipe_keeps_nobody_waiting(marked):
    done = run(shell("setsid sleep 600 & sleep 600 & echo done"), environment=marked.environment)
    assert done.output.text == "done\n"
    assert marked.pids() == []


_WORKER = """
import sys
from pathlib import Path
from lc2_backup_dagster_tests.engines.hooks.hooking import a_runner, shell
environment = {"PATH": sys.argv[1], "HOOK_MARK": sys.argv[2]}
hook = shell("trap '' TERM; setsid sleep 600 & while :; do sleep 600; done", timeout_seconds=600)
a_runner(environment=environment).run(hook, run="", artifact=None, say=print)
"""


def test_nothing_survives_a_worker_that_was_killed(marked):
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    worker = subprocess.Popen([sys.executable, "-c", _WORKER, ENVIRONMENT["PATH"], marked.value], env=environment)
    try:
        assert len(marked.wait_until(3)) == 3  # the shell and both sleeps, beside the worker, which has no mark
    finally:
        worker.kill()
        worker.wait()
    assert marked.wait_until(0) == []


def test_nothing_survives_an_interrupted_worker(marked):
    class Interrupted(BaseException):
        pass

    def say(line: str) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        a_runner(environment=marked.environment).run(
            shell("echo begun; sleep 600", timeout_seconds=600), run="", artifact=None, say=say
        )
    assert marked.pids() == []


def test_a_keeper_that_was_killed_is_told_and_takes_the_command_with_it(marked):
    # The command's parent is its keeper.
    with pytest.raises(HookFailed, match="was lost: the process that watches it was killed"):
        run(shell("kill -KILL $PPID; sleep 600"), environment=marked.environment)
    assert marked.wait_until(0) == []


def test_a_flood_costs_neither_memory_nor_lines_of_the_log():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said: list[str] = []
    done = run(shell("echo first; yes 'some line of a flood' | head -c 200000000; echo; echo last"), said=said)
    assert done.output.written_bytes == 200_000_000 + len("first\n\nlast\n")
    assert done.output.dropped_bytes > 199_000_000
    assert len(done.output.text) < HEAD_BYTES + TAIL_BYTES + 100
    assert done.output.text.startswith("first\n") and done.output.text.endswith("\nlast\n")
    assert f"… {done.output.dropped_bytes} bytes are not kept …" in done.output.text
    assert said[0] == "first" and "lines came too fast to be shown" in said[-1]
    assert len(said) < 500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # KiB


def test_secrets_are_neither_in_log_nor_in_error(tmp_path):
    environment = {**ENVIRONMENT, "TOKEN": "tok-4711", "KEY": "first line of it\nsecond line of it"}
    redaction = Redaction(frozenset({environment["TOKEN"], environment["KEY"]}))
    said: list[str] = []
    script = 'printf "a tok-"; sleep 0.2; echo "4711 b"; echo "$KEY" | tac; exit 1'
    with pytest.raises(HookFailed) as raised:
        run(shell(script), environment=environment, redaction=redaction, said=said)
    for shown in (str(raised.value), str(raised.value.attributes), "\n".join(said)):
        assert "a ‹hidden› b" in shown
        assert not any(secret in shown for secret in ("4711", "second line", "first line"))
    assert "4711" not in repr(a_runner(environment=environment, redaction=redaction))


def test_an_artefact_is_copied_as_plain_files(tmp_path):
    (into := tmp_path / "kept").mkdir()
    place = tmp_path / "config"
    script = f"mkdir -p {place}/sync/deep {place}/empty; echo a > {place}/sync/a.yml; echo bb > {place}/sync/deep/b.yml"
    done = run(shell(script, artifact_path=place), artifact=into)
    assert (done.artifact.files, done.artifact.size_bytes) == (2, 5)
    assert sorted(str(path.relative_to(into)) for path in into.rglob("*") if path.is_file()) == [
        "sync/a.yml", "sync/deep/b.yml"
    ]  # fmt: skip
    assert (into / "sync/deep/b.yml").read_text() == "bb\n"


def test_an_artefact_may_be_one_file(tmp_path):
    (into := tmp_path / "kept").mkdir()
    done = run(shell(f"echo a > {tmp_path}/export.zip", artifact_path=tmp_path / "export.zip"), artifact=into)
    assert done.artifact.files == 1
    assert (into / "export.zip").read_text() == "a\n"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo nothing", r"left no artefact at .*/config; its output ends: nothing"),
        ("mkdir -p $PLACE/folder", "is empty"),
        ("mkdir $PLACE; ln -s /etc/passwd $PLACE/link", "has a symbolic link: 'link'"),
        ("mkdir $PLACE; mkfifo $PLACE/pipe", "has a device, a pipe or a socket: 'pipe'"),
    ],
)
def test_an_artefact_that_is_missing_empty_or_no_plain_files_fails_the_hook(tmp_path, script, told):
    (into := tmp_path / "kept").mkdir()
    place = tmp_path / "config"
    with pytest.raises(HookFailed, match=told):
        run(
            shell(script, artifact_path=place),
            artifact=into,
            environment={**ENVIRONMENT, "PLACE": str(place)},
        )
