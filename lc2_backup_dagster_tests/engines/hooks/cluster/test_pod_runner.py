"""Hooks in a running pod, against a stand-in of the API that runs the commands here (``api_server``)."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lc2_backup_dagster.engines.hooks.cluster import pod_command
from lc2_backup_dagster.engines.hooks.cluster.access import ClusterAccess
from lc2_backup_dagster.engines.hooks.cluster.pod_runner import PodRunner, PodSelector
from lc2_backup_dagster.engines.hooks.redaction import Redaction
from lc2_backup_dagster.model.errors import (
    AccessDenied,
    ConfigurationError,
    HookFailed,
    HookTimedOut,
    ServiceUnavailable,
)
from lc2_backup_dagster_tests.engines.hooks.cluster.api_server import RUNNING, TOKEN, a_pod
from lc2_backup_dagster_tests.engines.hooks.cluster.conftest import LABELS
from lc2_backup_dagster_tests.engines.hooks.hooking import a_hook, shell


@pytest.fixture
def pod(access):
    def run(hook, *, artifact=None, said=None, selector=None, variables=None, **facts):
        runner = PodRunner(
            access,
            selector or PodSelector(LABELS),
            variables or {},
            **{"grace_seconds": 1, "ready_seconds": 0, **facts},
        )
        return runner.run(hook, run="", artifact=artifact, say=(said if said is not None else []).append)

    return run


def test_a_command_runs_in_the_first_ready_pod(pod, cluster):
    cluster.pods["drupal-0"] = a_pod("drupal-0", LABELS, status={"phase": "Pending"})
    cluster.pods["drupal-2"] = a_pod("drupal-2", LABELS)
    cluster.pods["cron-0"] = a_pod("cron-0", {"app": "cron"})
    said: list[str] = []
    done = pod(shell("echo one; echo two >&2"), said=said)
    assert sorted(done.output.text.split()) == ["one", "two"]
    assert said[0] == "runs in container php of pod drupal-1"


def test_variables_reach_the_command_and_are_in_no_address(pod, cluster):
    told = pod(shell('echo "$SITE_URI/$TOKEN"; pwd'), variables={"SITE_URI": "a b'c\"$x", "TOKEN": "tok-4711"})
    assert told.output.text.splitlines()[0] == "a b'c\"$x/tok-4711"
    assert "tok-4711" not in str(cluster.execs)
    with pytest.raises(ConfigurationError, match="the value of TOKEN has several lines"):
        pod(a_hook("true"), variables={"TOKEN": "a\nb"})


def test_a_command_gets_no_input_and_its_directory(pod, tmp_path):
    assert pod(shell("cat; pwd"), directory=tmp_path).output.text == f"{tmp_path}\n"
    with pytest.raises(HookFailed, match="ended with exit code 126; .*gone"):
        pod(shell("pwd"), directory=tmp_path / "gone")


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -TERM $$", 143), ("nothing-of-that-name", 127)])
def test_exit_codes_come_back(pod, script, code):
    with pytest.raises(HookFailed, match=f"ended with exit code {code}; its output ends: .*before") as raised:
        pod(shell(f"echo before; {script}"))
    assert raised.value.attributes["exit_code"] == code


def test_a_hanging_command_is_stopped_with_its_session(pod, marked):
    with pytest.raises(HookTimedOut, match="was stopped after 1 s, .*begun"):
        pod(shell("trap '' TERM; sleep 600 & echo begun; while :; do sleep 600; done", timeout_seconds=1))
    assert marked.wait_until(0) == []


def test_what_ignores_term_is_killed_also_where_the_command_obeys(pod, marked):
    with pytest.raises(HookTimedOut, match="begun"):
        pod(shell("sh -c 'trap \"\" TERM; while :; do sleep 1; done' & echo begun; sleep 600", timeout_seconds=1))
    assert marked.wait_until(0) == []


def test_an_end_that_the_pod_does_not_confirm_is_not_claimed(pod, marked, monkeypatch):
    monkeypatch.setattr(pod_command, "_SLACK_SECONDS", 0.5)
    # It leaves the session, which only a process of its own could find, and keeps the output open.
    with pytest.raises(HookTimedOut, match="but pod drupal-1 did not confirm that it has ended; .*begun"):
        pod(shell("setsid sleep 600 & echo begun; sleep 600", timeout_seconds=1))
    for pid in marked.wait_until(1):
        os.kill(pid, signal.SIGKILL)


def test_the_watcher_in_the_pod_ends_what_lost_its_connection(pod, cluster, marked):
    cluster.faults.cut_command_at = 8
    with pytest.raises(HookFailed, match=r"lost the connection to pod drupal-1 while it ran .*; the pod: Running"):
        pod(shell("echo begun; echo more; sleep 600", timeout_seconds=60))
    assert marked.wait_until(0) == []


_WORKER = """
import sys
from pathlib import Path
from lc2_backup_dagster.engines.hooks.cluster.access import ClusterAccess
from lc2_backup_dagster.engines.hooks.cluster.pod_runner import PodRunner, PodSelector
from lc2_backup_dagster_tests.engines.hooks.hooking import shell
runner = PodRunner(ClusterAccess("shop", Path(sys.argv[1])), PodSelector({"app": "drupal"}), {}, grace_seconds=1)
runner.run(shell("sleep 600", timeout_seconds=600), run="", artifact=None, say=print)
"""


def test_nothing_survives_in_the_pod_when_the_worker_is_killed(access, cluster, marked):
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    worker = subprocess.Popen([sys.executable, "-c", _WORKER, str(access.kubeconfig)], env=environment)
    try:
        # The watching shell with its two halves, their sleep, and the command's shell with its own.
        assert len(marked.wait_until(6)) >= 4
    finally:
        worker.kill()
        worker.wait()
    assert marked.wait_until(0) == []


def test_a_flood_is_bounded(pod):
    done = pod(shell("yes 'some line of a flood' | head -c 30000000; echo; echo last"))
    assert done.output.written_bytes == 30_000_006
    assert len(done.output.text) < 140_000
    assert done.output.text.endswith("\nlast\n")


def test_what_the_command_leaves_in_the_background_keeps_nobody_waiting(pod, marked):
    assert pod(shell("sleep 600 & echo done", timeout_seconds=60)).output.text == "done\n"
    assert marked.wait_until(0) == []
    script = "sh -c 'trap \"\" TERM; while :; do sleep 1; done' & echo done; exit 3"
    with pytest.raises(HookFailed, match="ended with exit code 3; its output ends: done"):
        pod(shell(script, timeout_seconds=60))
    assert marked.wait_until(0) == []


def test_secrets_of_the_container_are_hidden(pod, cluster):
    reference = {"name": "DB", "valueFrom": {"secretKeyRef": {"name": "drupal", "key": "dsn"}}}
    cluster.pods["drupal-1"]["spec"]["containers"][0]["env"] = [reference, {"name": "PLAIN", "value": "plain"}]
    cluster.environment |= {"DB": "s3cr", "API_TOKEN": "tok-4711", "PLAIN": "plain"}
    redaction = Redaction(frozenset({"handed-on"}), secret_name=lambda name: name.endswith("TOKEN"))
    with pytest.raises(HookFailed) as raised:
        pod(shell("echo $DB $API_TOKEN $PLAIN handed-on; exit 1"), redaction=redaction)
    assert "‹hidden› ‹hidden› plain ‹hidden›" in str(raised.value)
    assert not any(secret in str(raised.value.attributes) for secret in ("s3cr", "4711", "handed-on"))


def test_an_artefact_comes_back_as_plain_files(pod, tmp_path):
    (into := tmp_path / "kept").mkdir()
    place = tmp_path / "config"
    script = (
        f"mkdir -p {place}/sync/empty; echo a > {place}/sync/a.yml; head -c 3000000 /dev/urandom > {place}/b.bin; "
        f"chmod 0 {place}/sync/empty; i=0; while [ $i -lt 300 ]; do : > {place}/sync/$i.yml; i=$((i+1)); done"
    )
    done = pod(shell(script, artifact_path=place), artifact=into)
    assert (done.artifact.files, done.artifact.size_bytes) == (302, 3_000_002)
    assert (into / "b.bin").read_bytes() == (place / "b.bin").read_bytes()
    assert (into / "sync/a.yml").read_text() == "a\n"


def test_an_artefact_may_be_one_file(pod, tmp_path):
    (into := tmp_path / "kept").mkdir()
    done = pod(shell(f"echo a > {tmp_path}/-export", artifact_path=tmp_path / "-export"), artifact=into)
    assert done.artifact.files == 1
    assert (into / "-export").read_text() == "a\n"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (":", "left no artefact at"),
        ("mkdir -p $PLACE/folder", "is empty"),
        ("mkdir $PLACE; ln -s /etc/passwd $PLACE/link", "has a link: 'link'"),
        ("mkdir $PLACE; echo a > $PLACE/a; ln $PLACE/a $PLACE/b", "has a link: '[ab]'"),
        ("mkdir $PLACE; mkfifo $PLACE/pipe", "has a device, a pipe or another special file: 'pipe'"),
    ],
)
def test_an_artefact_that_is_no_plain_files_is_refused(pod, tmp_path, script, told):
    (into := tmp_path / "kept").mkdir()
    place = tmp_path / "config"
    with pytest.raises(HookFailed, match=told):
        pod(shell(script, artifact_path=place), artifact=into, variables={"PLACE": str(place)})


@pytest.mark.parametrize("after", [0, 600, 100_000])
def test_a_connection_cut_in_the_middle_of_the_artefact_is_no_artefact(pod, cluster, tmp_path, after):
    (into := tmp_path / "kept").mkdir()
    place = tmp_path / "config"
    cluster.faults.cut_at = after
    cluster.tell("drupal-1", "Killing", "Stopping container php")
    with pytest.raises(HookFailed, match="lost the connection .* while its artefact was fetched .*Stopping container"):
        pod(shell(f"mkdir {place}; head -c 300000 /dev/zero > {place}/a", artifact_path=place), artifact=into)


def test_an_exec_without_a_result_has_not_succeeded(pod, cluster):
    cluster.faults.without_result = True
    with pytest.raises(HookFailed, match=r"lost the connection .*\(closed without a result\); the pod: Running"):
        pod(shell("echo all is well"))


def test_an_evicted_pod_says_so(pod, cluster):
    def evict():
        evicted = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
        cluster.pods["drupal-1"]["status"] = evicted

    cluster.faults.cut_command_at = 8
    cluster.faults.on_cut = evict
    cluster.tell("drupal-1", "Evicted", "The node was low on resource: memory.")
    with pytest.raises(
        HookFailed, match=r"the pod: Failed, Evicted, The node was low.*its output ends: begun"
    ) as raised:
        pod(shell("echo begun; echo more; sleep 600", timeout_seconds=60))
    assert "the pod's events: Evicted: The node was low" in raised.value.hint


def test_a_pod_that_is_gone_says_so(pod, cluster):
    cluster.faults.cut_command_at = 8
    cluster.faults.on_cut = lambda: cluster.pods.pop("drupal-1")
    with pytest.raises(HookFailed, match="the pod: it was deleted"):
        pod(shell("echo begun; echo more; sleep 600", timeout_seconds=60))


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (403, AccessDenied, 'cannot exec in container php of pod drupal-1 .*: pods "drupal-1" is forbidden'),
        (404, HookFailed, "cannot run in pod drupal-1"),
        (400, HookFailed, "cannot run in pod drupal-1"),
        (500, ServiceUnavailable, "cannot exec"),
        (429, ServiceUnavailable, "cannot exec"),
    ],
)
def test_a_refused_exec_keeps_its_meaning(pod, cluster, status, kind, told):
    refused = (status, 'pods "drupal-1" is forbidden')
    cluster.faults.refuse = lambda method, path: refused if path.endswith("/exec") else None
    with pytest.raises(kind, match=told):
        pod(a_hook("true"))


def test_who_may_not_list_pods_is_told_so_and_never_that_there_are_none(pod, cluster):
    cluster.faults.refuse = lambda method, path: (403, "pods is forbidden: cannot list resource")
    with pytest.raises(AccessDenied, match="cannot list pods in namespace shop: pods is forbidden"):
        pod(a_hook("true"))


def test_an_api_that_is_not_there_may_be_tried_again(pod, access):
    text = access.kubeconfig.read_text()
    port = text.partition("127.0.0.1:")[2].partition('"')[0]
    access.kubeconfig.write_text(text.replace(f":{port}", ":9"))
    with pytest.raises(ServiceUnavailable, match="the cluster's API did not answer"):
        pod(a_hook("true"))


def test_a_wrong_token_is_told(pod, access):
    access.kubeconfig.write_text(access.kubeconfig.read_text().replace(TOKEN, "another"))
    with pytest.raises(AccessDenied, match="Unauthorized"):
        pod(a_hook("true"))


def test_without_any_cluster_the_hint_names_the_field(tmp_path):
    (broken := tmp_path / "broken").write_text("clusters: [")
    (text := tmp_path / "text").write_text("no mapping")
    (empty := tmp_path / "empty").write_text("")
    for file in (None, tmp_path / "gone", broken, text, empty):
        with pytest.raises(ConfigurationError, match="cannot reach a cluster .*hint: set runner.kubeconfig"):
            PodRunner(ClusterAccess("shop", file), PodSelector(LABELS), {}).run(
                a_hook("true"), run="", artifact=None, say=print
            )


def test_pods_that_are_absent_many_or_not_ready_are_told(pod, cluster):
    with pytest.raises(HookFailed, match="there is no pod with app=lotus in namespace shop"):
        pod(a_hook("true"), selector=PodSelector({"app": "lotus"}))
    with pytest.raises(HookFailed, match="pod drupal-1 has no container httpd"):
        pod(a_hook("true"), selector=PodSelector(LABELS, "httpd"))
    cluster.pods["drupal-2"] = a_pod("drupal-2", LABELS)
    with pytest.raises(HookFailed, match="2 pods with app=drupal in namespace shop are ready: drupal-1, drupal-2"):
        pod(a_hook("true"), selector=PodSelector(LABELS, only=True))
    for held in cluster.pods.values():
        held["status"] = {**RUNNING, "conditions": []}
    cluster.tell("drupal-1", "Unhealthy", "Readiness probe failed")
    with pytest.raises(HookFailed, match=r"is ready: drupal-1 Running; .*Unhealthy: Readiness probe failed"):
        pod(a_hook("true"))


def test_a_container_that_cannot_tell_its_secrets_runs_nothing(pod, cluster, monkeypatch):
    cluster.environment["PATH"] = "/nowhere"
    with pytest.raises(
        HookFailed, match="was not run: which values must be hidden could not be read: exec failed: cat"
    ):
        monkeypatch.setenv("PATH", "/nowhere")
        pod(a_hook("/bin/true"))
