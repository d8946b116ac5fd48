"""Runs hooks in a pod that a Kubernetes Job makes from the application's image, and removes it afterwards."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from lc2_backup_dagster.engines.hooks.cluster.access import Cluster, ClusterAccess, Resource
from lc2_backup_dagster.engines.hooks.cluster.job_template import (
    ATTEMPT_LABEL,
    CONTAINER,
    JobTemplate,
    job_body,
    job_labels,
    job_name,
)
from lc2_backup_dagster.engines.hooks.cluster.pod_command import ARTIFACT_SECONDS, PodCommand
from lc2_backup_dagster.engines.hooks.cluster.pod_runner import GRACE_SECONDS
from lc2_backup_dagster.engines.hooks.cluster.pod_state import hopeless, is_ready, name_of, state
from lc2_backup_dagster.engines.hooks.failure import failed
from lc2_backup_dagster.engines.hooks.hook import Hook
from lc2_backup_dagster.engines.hooks.ports import Done, Say
from lc2_backup_dagster.engines.hooks.redaction import Redaction
from lc2_backup_dagster.model.errors import AlreadyExists, BackupError, ObjectNotFound, RequestRefused

_SLACK_SECONDS = 120
_GONE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class JobRunner:
    """Runs each command in a pod of its own.

    Attributes:
        access: the cluster and namespace.
        template: what the Job is like.
        variables: what the command's environment gets beside the container's own.
        redaction: what its output must not show; the container's own secrets are learnt and added.
        directory: where it runs, or None for the container's own.
        grace_seconds: how long a command may take to end by itself when its time is over.
        poll_seconds: how often the Job's pod is looked at until it runs.
    """

    access: ClusterAccess
    template: JobTemplate
    variables: Mapping[str, str] = field(repr=False)
    redaction: Redaction = field(default_factory=Redaction)
    directory: Path | None = None
    grace_seconds: int = GRACE_SECONDS
    poll_seconds: float = 1.0

    def run(self, hook: Hook, *, run: str, artifact: Path | None, say: Say) -> Done:
        """Carry a hook out; see ``HookRunner``. The Job is deleted whatever happens; what cannot be, ends by itself."""
        cluster = self.access.connect()
        attempt = uuid4().hex
        name = job_name(self.template.site, hook, run)
        try:
            self._replace(hook, cluster, name, say)
            try:
                since = self._create(hook, cluster, run=run, attempt=attempt)
                pod = self._wait_for_pod(hook, cluster, name, attempt, since)
                say(f"runs in pod {name_of(pod)} of Job {name}")
                command = PodCommand(
                    cluster, pod, CONTAINER, self.variables, self.redaction, self.directory, self.grace_seconds
                )
                return command.run(hook, artifact=artifact, say=say)
            finally:
                self._delete(cluster, name, attempt, say)
        finally:
            cluster.close()

    def _replace(self, hook: Hook, cluster: Cluster, name: str, say: Say) -> None:
        """Delete what an earlier try of the same run left behind, and wait until it is gone.

        Raises:
            HookFailed: a Job of this name is none of ours, or does not go.
        """
        until = time.monotonic() + _GONE_SECONDS
        told = False
        while (job := _job(cluster, name)) is not None:
            labels = job["metadata"].get("labels") or {}
            ours = job_labels(self.template, hook)
            if any(labels.get(key) != value for key, value in ours.items()):
                raise failed(hook, f"cannot run: Job {name} exists and is none of this hook's", hint="delete it")
            if not told:
                say(f"replaces Job {name}, which an earlier try left")
                cluster.delete_job(name, uid=job["metadata"]["uid"])
                told = True
            if time.monotonic() > until:
                raise failed(hook, f"cannot run: Job {name} of an earlier try is not gone after {_GONE_SECONDS:g} s")
            time.sleep(self.poll_seconds)

    def _create(self, hook: Hook, cluster: Cluster, *, run: str, attempt: str) -> str:
        """Make the Job, and return when the cluster says that it was made."""
        hold = hook.timeout_seconds + self.grace_seconds + int(ARTIFACT_SECONDS) + _SLACK_SECONDS
        try:
            job = cluster.create_job(job_body(self.template, hook, run=run, attempt=attempt, hold_seconds=hold))
            return str(job["metadata"].get("creationTimestamp", ""))
        except (AlreadyExists, ObjectNotFound, RequestRefused) as error:
            raise failed(hook, f"cannot run: {error.message}") from error

    def _wait_for_pod(self, hook: Hook, cluster: Cluster, name: str, attempt: str, since: str) -> Resource:
        """Return the Job's pod once it runs.

        Raises:
            HookFailed: it will not run, or did not in time; with what the cluster tells of Job and pod.
        """
        until = time.monotonic() + self.template.start_timeout_seconds
        while True:
            pods = cluster.pods({ATTEMPT_LABEL: attempt})
            for pod in pods:
                if is_ready(pod):
                    return pod
                if (why := hopeless(pod)) is not None:
                    raise self._not_started(hook, cluster, name, since, f"pod {name_of(pod)} cannot run: {why}", pods)
            if time.monotonic() >= until:
                what = "; ".join(f"pod {name_of(pod)}: {state(pod)}" for pod in pods) or "the Job has no pod"
                late = f"no pod ran within {self.template.start_timeout_seconds} s: {what}"
                raise self._not_started(hook, cluster, name, since, late, pods)
            time.sleep(self.poll_seconds)

    def _not_started(
        self, hook: Hook, cluster: Cluster, name: str, since: str, what: str, pods: list[Resource]
    ) -> BackupError:
        events = " | ".join(cluster.events(name, *map(name_of, pods), since=since)[-6:])
        return failed(hook, f"cannot run: {what}", hint=f"events: {events}" if events else None)

    def _delete(self, cluster: Cluster, name: str, attempt: str, say: Say) -> None:
        try:
            job = _job(cluster, name)
            # By now another try may have replaced it by its own.
            if job is not None and (job["metadata"].get("labels") or {}).get(ATTEMPT_LABEL) == attempt:
                cluster.delete_job(name, uid=job["metadata"]["uid"])
        except BackupError as error:
            say(f"Job {name} could not be deleted and ends by its deadline: {error.message}")


def _job(cluster: Cluster, name: str) -> Resource | None:
    try:
        return cluster.job(name)
    except ObjectNotFound:
        return None
