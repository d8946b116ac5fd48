"""Runs hooks in a running pod of the application."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lc2_backup_dagster.engines.hooks.cluster.access import Cluster, ClusterAccess, Resource
from lc2_backup_dagster.engines.hooks.cluster.pod_command import PodCommand
from lc2_backup_dagster.engines.hooks.cluster.pod_state import container_of, is_ready, name_of, state
from lc2_backup_dagster.engines.hooks.failure import failed
from lc2_backup_dagster.engines.hooks.hook import Hook
from lc2_backup_dagster.engines.hooks.ports import Done, Say
from lc2_backup_dagster.engines.hooks.redaction import Redaction

GRACE_SECONDS = 10
_POLL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class PodSelector:
    """Which pod.

    Attributes:
        labels: labels that it has.
        container: name of its container, or None for its default one.
        only: whether several ready pods are refused; else the first by name is taken.
    """

    labels: Mapping[str, str]
    container: str | None = None
    only: bool = False


@dataclass(frozen=True, slots=True)
class PodRunner:
    """Runs commands in a pod that is there already.

    Attributes:
        access: the cluster and namespace.
        selector: which pod.
        variables: what the command's environment gets beside the container's own.
        redaction: what its output must not show; the container's own secrets are learnt and added.
        directory: where it runs, or None for the container's own.
        grace_seconds: how long a command may take to end by itself when its time is over.
        ready_seconds: how long a pod is waited for: during a rollout there may be none for a while.
    """

    access: ClusterAccess
    selector: PodSelector
    variables: Mapping[str, str] = field(repr=False)
    redaction: Redaction = field(default_factory=Redaction)
    directory: Path | None = None
    grace_seconds: int = GRACE_SECONDS
    ready_seconds: float = 60.0

    def run(self, hook: Hook, *, run: str, artifact: Path | None, say: Say) -> Done:
        """Carry a hook out; see ``HookRunner``."""
        cluster = self.access.connect()
        try:
            pod = self._choose(hook, cluster)
            container = container_of(pod, self.selector.container)
            if container is None:
                raise failed(hook, f"cannot run: pod {name_of(pod)} has no container {self.selector.container}")
            say(f"runs in container {container} of pod {name_of(pod)}")
            command = PodCommand(
                cluster, pod, container, self.variables, self.redaction, self.directory, self.grace_seconds
            )
            return command.run(hook, artifact=artifact, say=say)
        finally:
            cluster.close()

    def _choose(self, hook: Hook, cluster: Cluster) -> Resource:
        until = time.monotonic() + self.ready_seconds
        while True:
            pods = cluster.pods(self.selector.labels)
            ready = [pod for pod in pods if is_ready(pod)]
            if len(ready) == 1 or (ready and not self.selector.only):
                return ready[0]
            if time.monotonic() >= until:
                break
            time.sleep(_POLL_SECONDS)
        labels = ",".join(f"{key}={value}" for key, value in sorted(self.selector.labels.items()))
        where = f"with {labels} in namespace {self.access.namespace}"
        if ready:
            names = ", ".join(map(name_of, ready))
            hint = "make the labels narrower, or set pick: first_ready"
            raise failed(hook, f"cannot run: {len(ready)} pods {where} are ready: {names}", hint=hint)
        if not pods:
            raise failed(hook, f"cannot run: there is no pod {where}", hint="look at runner.labels and namespace")
        states = "; ".join(f"{name_of(pod)} {state(pod)}" for pod in pods[:5])
        events = " | ".join(cluster.events(*map(name_of, pods[:5]))[-5:])
        raise failed(
            hook, f"cannot run: no pod {where} is ready: {states}", hint=f"their events: {events}" if events else None
        )
