"""The Job that gives a hook a pod of its own, as the API takes it. Pure.

The pod does nothing but wait: the command comes by exec, so that its output, its end and its artefact come back on one
connection. What nobody ends by hand ends by itself: the deadline ends the pod, ``ttlSecondsAfterFinished`` removes the
Job.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from lc2_backup_dagster.engines.hooks.hook import Hook
from lc2_backup_dagster.model.site import SiteId

CONTAINER = "hook"
ATTEMPT_LABEL = "lc2.liferay.com/attempt"
TTL_SECONDS = 600
# The shell is process 1, which only gets signals that it asked for; without the trap, deleting the pod would take long.
_WAIT = 'trap "exit 0" TERM; sleep "$0" & wait'


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A variable whose value is a key of a Secret."""

    variable: str
    secret: str
    key: str


@dataclass(frozen=True, slots=True)
class JobTemplate:
    """What a site file says of the Jobs of its hooks.

    Attributes:
        site: whose hooks; Jobs are named and labelled after it.
        environment: of the site, for a label.
        image: with registry and tag or digest.
        service_account: of the pod; its token is not mounted.
        secrets: variables from Secrets.
        image_pull_secrets: names of Secrets.
        run_as_user: user id, or None for that of the image, which must not be root.
        cpu: asked for and at most used; so are memory and scratch.
        memory: see cpu.
        scratch: disk of the writable folders together.
        writable_paths: absolute folders that the command may write.
        start_timeout_seconds: until when the pod must run.
    """

    site: SiteId
    environment: str
    image: str
    service_account: str = "default"
    secrets: Sequence[SecretKey] = ()
    image_pull_secrets: Sequence[str] = ()
    run_as_user: int | None = None
    cpu: str = "500m"
    memory: str = "512Mi"
    scratch: str = "1Gi"
    writable_paths: Sequence[str] = ()
    start_timeout_seconds: int = 300


def job_name(site: SiteId, hook: Hook, run: str) -> str:
    """Return the Job's name: the same for every try of one run, of at most 63 letters, as a label value needs it."""
    digest = hashlib.sha256(f"{site}\n{hook.name}\n{run}".encode()).hexdigest()[:12]
    words = re.sub(r"[^a-z0-9-]", "-", f"lc2-{site.project}-{site.application}-{hook.name}")
    return f"{words[:50].rstrip('-')}-{digest}"


def job_labels(template: JobTemplate, hook: Hook) -> dict[str, str]:
    """Return the labels of all Jobs of a hook."""
    return {
        "app.kubernetes.io/name": "lc2-backup",
        "app.kubernetes.io/component": "hook",
        "app.kubernetes.io/managed-by": "lc2-backup",
        "lc2.liferay.com/project-id": template.site.project,
        "lc2.liferay.com/application": template.site.application,
        "lc2.liferay.com/environment": template.environment,
        "lc2.liferay.com/hook": hook.name,
    }


def job_body(template: JobTemplate, hook: Hook, *, run: str, attempt: str, hold_seconds: int) -> dict[str, Any]:
    """Return the Job.

    Args:
        template: what the site file says.
        hook: what it is for.
        run: names the run.
        attempt: names this try alone; a label of Job and pod.
        hold_seconds: how long the pod is needed at most, once it runs.
    """
    labels = {**job_labels(template, hook), ATTEMPT_LABEL: attempt}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job_name(template.site, hook, run), "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": template.start_timeout_seconds + hold_seconds,
            "ttlSecondsAfterFinished": TTL_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": _pod(template, hook, hold_seconds)},
        },
    }


def _pod(template: JobTemplate, hook: Hook, hold_seconds: int) -> dict[str, Any]:
    user = {} if template.run_as_user is None else {"runAsUser": template.run_as_user}
    folders = _writable(template, hook)
    sizes = {"cpu": template.cpu, "memory": template.memory, "ephemeral-storage": template.scratch}
    return {
        "restartPolicy": "Never",
        "serviceAccountName": template.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "imagePullSecrets": [{"name": name} for name in template.image_pull_secrets],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, **user},
        "containers": [
            {
                "name": CONTAINER,
                "image": template.image,
                "command": ["/bin/sh", "-c", _WAIT, str(hold_seconds)],
                "env": [
                    {
                        "name": secret.variable,
                        "valueFrom": {"secretKeyRef": {"name": secret.secret, "key": secret.key}},
                    }
                    for secret in template.secrets
                ],
                "resources": {"requests": sizes, "limits": sizes},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "privileged": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": f"writable-{number}", "mountPath": folder} for number, folder in enumerate(folders)
                ],
            }
        ],
        "volumes": [
            {"name": f"writable-{number}", "emptyDir": {"sizeLimit": template.scratch}}
            for number, _ in enumerate(folders)
        ],
    }


def _writable(template: JobTemplate, hook: Hook) -> list[str]:
    """Return the folders to make writable; the artefact's parent is one of them, or lies in one."""
    folders = [PurePosixPath(path) for path in template.writable_paths]
    if hook.artifact_path is not None:
        parent = PurePosixPath(hook.artifact_path).parent
        wanted = PurePosixPath(hook.artifact_path) if parent == PurePosixPath("/") else parent
        if not any(wanted.is_relative_to(folder) for folder in folders):
            folders.append(wanted)
    return [str(folder) for folder in dict.fromkeys(folders)]
