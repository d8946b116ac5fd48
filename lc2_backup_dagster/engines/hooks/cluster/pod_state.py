"""What a pod's status means: whether it can be used, what is wrong with it, how to say so. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from lc2_backup_dagster.engines.hooks.cluster.access import Resource

_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
# What does not heal by waiting; ErrImagePull may, and becomes ImagePullBackOff when it does not.
_HOPELESS = frozenset(
    {
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
    }
)


def name_of(resource: Resource) -> str:
    """Return the name of any object."""
    return str(resource["metadata"]["name"])


def is_ready(pod: Resource) -> bool:
    """Say whether a pod runs, is ready, and is not about to go."""
    status = pod.get("status", {})
    conditions = {each.get("type"): each.get("status") for each in status.get("conditions") or ()}
    going = pod["metadata"].get("deletionTimestamp") is not None
    return status.get("phase") == "Running" and conditions.get("Ready") == "True" and not going


def container_of(pod: Resource, asked: str | None) -> str | None:
    """Return the container to use: the one asked for (None where the pod lacks it), or the pod's default one."""
    names = [container["name"] for container in pod["spec"]["containers"]]
    default = (pod["metadata"].get("annotations") or {}).get(_DEFAULT_CONTAINER)
    wanted = asked or default or names[0]
    return wanted if wanted in names else None


def secret_variables(pod: Resource, container: str) -> frozenset[str]:
    """Return the names of a container's variables whose values come from Secrets, as far as its pod tells them."""
    found: set[str] = set()
    for each in pod["spec"]["containers"]:
        if each["name"] == container:
            for variable in each.get("env") or ():
                if "secretKeyRef" in (variable.get("valueFrom") or {}):
                    found.add(variable["name"])
    return frozenset(found)


def hopeless(pod: Resource) -> str | None:
    """Return why a pod will not run however long one waits, or None."""
    status = pod.get("status", {})
    if status.get("phase") in ("Failed", "Succeeded"):
        return state(pod)
    for container in _containers(status):
        if (container.get("state", {}).get("waiting") or {}).get("reason") in _HOPELESS:
            return state(pod)
    return None


def state(pod: Resource) -> str:
    """Say in what state a pod is, in the cluster's words."""
    status = pod.get("status", {})
    told = [str(status.get("phase", "Unknown"))]
    if pod["metadata"].get("deletionTimestamp"):
        told.append("is being deleted")
    told += _words(status)
    for condition in status.get("conditions") or ():
        if condition.get("status") != "True" and condition.get("type") in ("PodScheduled", "DisruptionTarget"):
            told += _words(condition)
    for container in _containers(status):
        for kind in ("waiting", "terminated"):
            inside: Mapping[str, Any] = container.get("state", {}).get(kind) or {}
            code = f"exit code {inside['exitCode']}" if "exitCode" in inside else ""
            told += [f"container {container.get('name')} {kind}", *_words(inside), code] if inside else []
    return ", ".join(dict.fromkeys(word for word in told if word))


def _words(of: Mapping[str, Any]) -> list[str]:
    return [str(of[field]) for field in ("reason", "message") if of.get(field)]


def _containers(status: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
