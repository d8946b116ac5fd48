"""A namespace of a cluster: where it is, and the few requests that hooks need of its API.

The only module that knows the ``kubernetes`` package, which is imported when the first request is made. Answers are
plain mappings as the API writes them: its servers and clients are of many versions, and few fields are needed.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from lc2_backup_dagster.model.errors import (
    AccessDenied,
    AlreadyExists,
    BackupError,
    ConfigurationError,
    ObjectNotFound,
    RequestRefused,
    ServiceUnavailable,
)

Resource = Mapping[str, Any]
"""An object of the API."""

_TIMEOUT_SECONDS = (10.0, 30.0)
# Some times of the API have fractions of a second, others have none.
_TO_SECONDS = len("2026-11-30T02:00:00")
_PASSING = frozenset({0, 408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """Where the API of a cluster is found.

    Attributes:
        namespace: the namespace of all that is done.
        kubeconfig: a kubeconfig file, or None for the account of the pod that we run in.
        context: a context of that file, or None for its current one.
    """

    namespace: str
    kubeconfig: Path | None = None
    context: str | None = None

    def connect(self) -> "Cluster":
        """Read the configuration; nothing is sent yet.

        Raises:
            ConfigurationError: there is no such file or context, no account of a pod, or no client installed.
        """
        try:
            from kubernetes import client, config
        except ImportError as error:
            raise ConfigurationError(
                "hooks in a cluster need the Python package kubernetes",
                hint="install the extra: pip install 'lc2-backup-dagster[kubernetes]'",
            ) from error
        configuration = cast(Any, client).Configuration()
        try:
            if self.kubeconfig is None:
                config.load_incluster_config(client_configuration=configuration)
            else:
                config.load_kube_config(
                    config_file=str(self.kubeconfig), context=self.context, client_configuration=configuration
                )
        except (config.ConfigException, OSError, yaml.YAMLError, TypeError, AttributeError, KeyError) as error:
            place = self.kubeconfig or "the service's own account (no kubeconfig is named)"
            raise ConfigurationError(
                f"cannot reach a cluster with {place}: {' '.join(str(error).split())}",
                hint="set runner.kubeconfig of the hook",
            ) from error
        # Its own retries would hide how long a request really takes, and repeat what must not be repeated.
        configuration.retries = False
        return Cluster(self.namespace, configuration)


class Cluster:
    """Requests to the API within one namespace; every answer is complete, and every wait has an end.

    Every method raises ``AccessDenied``, ``ServiceUnavailable`` (timed out, throttled, broken: nothing is known), or
    ``RequestRefused`` with the API's own words; reading what is not there raises ``ObjectNotFound``.
    """

    def __init__(self, namespace: str, configuration: Any) -> None:
        from kubernetes import client

        self.namespace = namespace
        self.configuration = configuration
        api = client.ApiClient(configuration)
        self._api = api
        self._core: Any = client.CoreV1Api(api)
        self._batch: Any = client.BatchV1Api(api)

    def close(self) -> None:
        """Let go of connections."""
        close = getattr(self._api, "close", None)
        if close is not None:
            close()

    def pods(self, labels: Mapping[str, str]) -> list[Resource]:
        """Return the pods that have all of these labels, by name."""
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        found = self._ask("list pods", self._core.list_namespaced_pod, self.namespace, label_selector=selector)
        return sorted(found["items"], key=lambda pod: pod["metadata"]["name"])

    def pod(self, name: str) -> Resource:
        """Return one pod."""
        return self._ask(f"read pod {name}", self._core.read_namespaced_pod, name, self.namespace)

    def job(self, name: str) -> Resource:
        """Return one Job."""
        return self._ask(f"read Job {name}", self._batch.read_namespaced_job, name, self.namespace)

    def create_job(self, body: Mapping[str, Any]) -> Resource:
        """Make a Job.

        Raises:
            AlreadyExists: there is one of this name.
        """
        name = body["metadata"]["name"]
        return self._ask(f"make Job {name}", self._batch.create_namespaced_job, self.namespace, dict(body))

    def delete_job(self, name: str, *, uid: str) -> None:
        """Delete exactly the Job with this uid, and its pods after it; one that is gone is deleted."""
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        with contextlib.suppress(ObjectNotFound, AlreadyExists):  # gone, or another one by now
            self._ask(f"delete Job {name}", self._batch.delete_namespaced_job, name, self.namespace, body=body)

    def events(self, *names: str, since: str = "") -> list[str]:
        """Return what the cluster tells of objects with these names, oldest first, as ``Reason: message``.

        Never raises: events explain a failure, they must not replace it.

        Args:
            names: names of pods and Jobs.
            since: as the API writes times; older events are left out, for a Job may have had predecessors of its name.
        """
        told: list[tuple[str, str]] = []
        for name in names:
            try:
                found = self._ask(
                    "list events",
                    self._core.list_namespaced_event,
                    self.namespace,
                    field_selector=f"involvedObject.name={name}",
                )
            except BackupError as error:
                return [f"(its events cannot be read: {error.message})"]
            for event in found["items"]:
                when = event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp") or since
                if when[:_TO_SECONDS] < since[:_TO_SECONDS]:
                    continue
                told.append((when, f"{event.get('reason', '')}: {str(event.get('message', '')).strip()}"))
        # The same is often told again and again.
        return list(dict.fromkeys(text for _, text in sorted(told)))

    def _ask(self, what: str, method: Any, *arguments: Any, **options: Any) -> Any:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        told = f"{what} in namespace {self.namespace}"
        try:
            answer = method(*arguments, **options, _preload_content=False, _request_timeout=_TIMEOUT_SECONDS)
            status, body = answer.status, answer.data
        except ApiException as error:
            status, body = error.status or 0, error.body or error.reason or ""
        except (HTTPError, OSError) as error:
            raise ServiceUnavailable(f"the cluster's API did not answer: cannot {told}: {error}") from error
        if status < 200 or status > 299:
            raise refusal(status, body, what=told)
        try:
            return json.loads(body)
        except ValueError as error:
            raise ServiceUnavailable(f"the cluster's API gave half an answer: cannot {told}") from error


def refusal(status: int, body: bytes | str, *, what: str) -> BackupError:
    """Translate an answer of the API that is no success (its ``Status`` object, or any text) into our error."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    try:
        message = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        message = text.strip()[:500]
    told = f"cannot {what}: {message or f'status {status}'}"
    if status in (401, 403) and "exceeded quota" not in message and "admission webhook" not in message:
        return AccessDenied(told, hint="look at the role of the service's account in that namespace", status=status)
    if status == 404:
        return ObjectNotFound(told, status=status)
    if status == 409:
        return AlreadyExists(told, status=status)
    if status in _PASSING:
        return ServiceUnavailable(told, status=status)
    return RequestRefused(told, status=status)
