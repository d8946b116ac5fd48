"""Hooks in a Job's pod, against the stand-in of the API (``api_server``), whose Jobs get the state that a test says."""

import pytest

from lc2_backup_dagster.engines.hooks.cluster.job_runner import JobRunner
from lc2_backup_dagster.engines.hooks.cluster.job_template import ATTEMPT_LABEL, JobTemplate, SecretKey, job_name
from lc2_backup_dagster.model.errors import AccessDenied, HookFailed, HookTimedOut
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster_tests.engines.hooks.cluster.api_server import waiting
from lc2_backup_dagster_tests.engines.hooks.hooking import a_hook, shell

SITE = SiteId("retail", "drupal")


def a_template(**facts):
    return JobTemplate(
        **{
            "site": SITE,
            "environment": "prod",
            "image": "registry.example/shop/drupal:1.2.3",
            "writable_paths": ("/tmp",),
            "start_timeout_seconds": 0,
            **facts,
        }
    )


@pytest.fixture
def job(access):
    def run(hook, *, name="run-1", artifact=None, said=None, **template):
        runner = JobRunner(access, a_template(**template), {}, grace_seconds=1, poll_seconds=0.02)
        return runner.run(hook, run=name, artifact=artifact, say=(said if said is not None else []).append)

    return run


def test_a_command_runs_in_a_pod_of_its_own_which_is_gone_afterwards(job, cluster, tmp_path):
    (into := tmp_path / "kept").mkdir()
    place = tmp_path / "config"
    said: list[str] = []
    done = job(
        shell(f"mkdir {place}; echo a > {place}/a.yml; echo done", artifact_path=place), artifact=into, said=said
    )
    assert done.output.text == "done\n"
    assert (into / "a.yml").read_text() == "a\n"
    assert said[0].startswith("runs in pod lc2-retail-drupal-export-")
    assert cluster.jobs == {}
    assert list(cluster.pods) == ["drupal-1"]


@pytest.mark.parametrize(("script", "kind"), [("exit 3", HookFailed), ("sleep 600", HookTimedOut)])
def test_the_job_is_deleted_after_a_failure(job, cluster, script, kind):
    with pytest.raises(kind):
        job(shell(script, timeout_seconds=1))
    assert len(cluster.made) == 1
    assert cluster.jobs == {}


def test_the_secrets_of_the_job_are_hidden(job, cluster):
    cluster.environment["DB_PASS"] = "s3cr"
    with pytest.raises(HookFailed) as raised:
        job(shell("echo it is $DB_PASS; exit 1"), secrets=(SecretKey("DB_PASS", "drupal-db", "password"),))
    assert "it is ‹hidden›" in str(raised.value)
    assert "s3cr" not in str(raised.value.attributes) + str(cluster.made)


def test_the_pod_is_restricted_and_cleans_up_behind_a_dead_worker(job, cluster):
    job(a_hook("true", timeout_seconds=60), secrets=(SecretKey("A", "b", "c"),), run_as_user=1000)
    spec = cluster.made[0]["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["ttlSecondsAfterFinished"] > 0
    assert 60 + 900 < spec["activeDeadlineSeconds"] < 60 + 900 + 300
    pod = spec["template"]["spec"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}
    }  # fmt: skip
    assert (pod["automountServiceAccountToken"], pod["restartPolicy"]) == (False, "Never")
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"] == container["resources"]["requests"]
    assert set(container["resources"]["limits"]) == {"cpu", "memory", "ephemeral-storage"}
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
    assert container["env"] == [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "b", "key": "c"}}}]


def test_the_folder_of_the_artefact_can_be_written():
    from lc2_backup_dagster.engines.hooks.cluster.job_template import job_body

    def mounts(path):
        body = job_body(a_template(), a_hook("true", artifact_path=path), run="", attempt="a", hold_seconds=1)
        return [mount["mountPath"] for mount in body["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]]

    assert mounts("/tmp/config") == ["/tmp"]
    assert mounts("/var/www/config/sync") == ["/tmp", "/var/www/config"]
    assert mounts("/export") == ["/tmp", "/export"]


def test_a_name_is_that_of_the_run_and_fits_a_label():
    hook = a_hook("true")
    assert job_name(SITE, hook, "1") == job_name(SITE, hook, "1") != job_name(SITE, hook, "2")
    long = SiteId("a_project-" + "x" * 50, "application-of_its" + "y" * 40)
    assert len(job_name(long, hook, "1")) <= 63
    assert "_" not in job_name(long, hook, "1")


def test_another_try_of_a_run_replaces_what_the_first_left(job, cluster):
    left = {"metadata": {}, "spec": {"template": {"metadata": {"labels": {}}, "spec": {}}}}
    job(a_hook("true"))
    left["metadata"] = {**cluster.made[0]["metadata"], "labels": {**cluster.made[0]["metadata"]["labels"]}}
    left["metadata"]["labels"][ATTEMPT_LABEL] = "of-a-dead-worker"
    cluster.make_job(left)
    said: list[str] = []
    job(a_hook("true"), said=said)
    assert said[0].startswith("replaces Job lc2-retail-drupal-export-")
    assert len(cluster.made) == 3
    assert cluster.jobs == {}


def test_a_job_of_this_name_that_is_somebody_elses_is_left_alone(job, cluster):
    name = job_name(SITE, a_hook("true"), "run-1")
    cluster.jobs[name] = {"metadata": {"name": name, "uid": "theirs", "labels": {}}}
    with pytest.raises(HookFailed, match=f"Job {name} exists and is none of this hook's"):
        job(a_hook("true"))
    assert cluster.jobs[name]["metadata"]["uid"] == "theirs"


def test_a_zombie_does_not_delete_the_job_of_the_try_that_replaced_it(job, cluster):
    def replaced():
        (name,) = cluster.jobs
        cluster.jobs[name]["metadata"]["labels"][ATTEMPT_LABEL] = "of-the-next-try"

    cluster.faults.cut_command_at = 8
    cluster.faults.on_cut = replaced
    with pytest.raises(HookFailed, match="lost the connection"):
        job(shell("echo begun; echo more; sleep 600", timeout_seconds=60))
    assert len(cluster.jobs) == 1


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (waiting("ImagePullBackOff", "Back-off pulling image"), "ImagePullBackOff, Back-off pulling image"),
        (waiting("CreateContainerConfigError", 'secret "db" not found'), 'CreateContainerConfigError, secret "db" not'),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, "Failed, Evicted, low on memory"),
        (
            {
                "phase": "Failed",
                "containerStatuses": [
                    {"name": "hook", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
                ],
            },
            "Failed, container hook terminated, OOMKilled, exit code 137",
        ),
    ],
)
def test_a_pod_that_cannot_run_is_told_at_once_with_its_events(job, cluster, status, told):
    cluster.job_status = status
    name = job_name(SITE, a_hook("true"), "run-1")
    cluster.tell(f"{name}-abcde", "Failed", "what the kubelet says")
    with pytest.raises(HookFailed) as raised:
        job(a_hook("true"), start_timeout_seconds=3600)
    assert f"cannot run: pod {name}-abcde cannot run: " in raised.value.message
    assert told in raised.value.message
    assert raised.value.hint == "events: Failed: what the kubelet says"
    assert cluster.jobs == {}


def test_a_pod_without_a_node_is_told_when_its_time_is_over(job, cluster):
    cluster.job_status = {
        "phase": "Pending",
        "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: memory"}
        ],
    }
    with pytest.raises(HookFailed, match=r"no pod ran within 0 s: pod .*: Pending, Unschedulable, 0/3 nodes: memory"):
        job(a_hook("true"))


def test_a_quota_that_lets_no_pod_be_made_is_told_by_the_jobs_events(job, cluster):
    cluster.job_status = None
    name = job_name(SITE, a_hook("true"), "run-1")
    cluster.tell(name, "SuccessfulCreate", "of an earlier try", at="2026-11-30T01:59:59Z")
    cluster.tell(name, "FailedCreate", "pods is forbidden: exceeded quota: compute", at="2026-11-30T02:00:00.5Z")
    with pytest.raises(HookFailed, match=r"the Job has no pod; hint: events: FailedCreate: .*exceeded quota: compute"):
        job(a_hook("true"))


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ('jobs.batch is forbidden: User "lc2" cannot create resource "jobs"', AccessDenied),
        ('jobs.batch "x" is forbidden: exceeded quota: jobs', HookFailed),
        ('admission webhook "images.example" denied the request: not on the list', HookFailed),
    ],
)
def test_a_job_that_may_not_be_made_says_why(job, cluster, message, kind):
    cluster.faults.refuse = lambda method, path: (403, message) if method == "POST" else None
    with pytest.raises(kind) as raised:
        job(a_hook("true"))
    assert message in str(raised.value)


def test_a_job_that_cannot_be_deleted_is_told_and_hides_nothing(job, cluster):
    cluster.faults.refuse = lambda method, path: (403, "cannot delete resource") if method == "DELETE" else None
    said: list[str] = []
    with pytest.raises(HookFailed, match="exit code 3"):
        job(shell("exit 3"), said=said)
    assert "could not be deleted and ends by its deadline" in said[-1]
