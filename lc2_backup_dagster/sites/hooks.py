"""The hooks of a site file: their schema, and how they become commands with what runs them.

Nothing connects here, and nothing of a cluster's client is imported: a site without such hooks needs it nowhere.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, model_validator

from lc2_backup_dagster.engines.hooks.cluster.access import ClusterAccess
from lc2_backup_dagster.engines.hooks.cluster.job_runner import JobRunner
from lc2_backup_dagster.engines.hooks.cluster.job_template import JobTemplate, SecretKey
from lc2_backup_dagster.engines.hooks.cluster.pod_runner import PodRunner, PodSelector
from lc2_backup_dagster.engines.hooks.hook import Hook
from lc2_backup_dagster.engines.hooks.ports import HookRunner
from lc2_backup_dagster.engines.hooks.redaction import Redaction
from lc2_backup_dagster.engines.hooks.run import BoundHook
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.sites.commands import Command, PlainVariables, local_runner, redaction_of
from lc2_backup_dagster.sites.values import AbsolutePath, Name, Positive, Strict, Text, Variable, refuse

if TYPE_CHECKING:
    from lc2_backup_dagster.sites.schema import SiteDefinition

_KUBERNETES_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
_LABEL_KEY = re.compile(r"(?:[a-z0-9][-a-z0-9.]{0,252}/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", re.ASCII)
_QUANTITY = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:m|[kMGT]i?)?", re.ASCII)
_IMAGE = re.compile(
    r"(?P<registry>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*(?::[0-9]+)?)/[a-z0-9._/-]+(?::(?P<tag>[\w][\w.-]{0,127}))?"
    r"(?P<digest>@sha256:[0-9a-f]{64})?",
    re.ASCII,
)


def _check_place(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not path.startswith("/") or "\0" in path or ".." in parts or len(parts) < 2:
        refuse("is no place for an artefact", allowed="an absolute path below /, without '..'")
    return str(PurePosixPath(path))


def _check_labels(labels: dict[str, str]) -> dict[str, str]:
    if not labels:
        refuse("is empty, and would choose any pod", allowed="labels of the application's pods")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            refuse(f"has the label '{key}'", allowed="labels as Kubernetes has them, like app.kubernetes.io/name: shop")
    return labels


def _check_kubernetes_name(name: str) -> str:
    if not _KUBERNETES_NAME.fullmatch(name):
        refuse("is not a name of Kubernetes", allowed="lower-case letters, digits, '-' and '.'")
    return name


def _check_quantity(text: str) -> str:
    if not _QUANTITY.fullmatch(text):
        refuse("is not a quantity of Kubernetes", allowed="a number with a unit, like 500m or 512Mi")
    return text


def _check_image(image: str) -> str:
    match = _IMAGE.fullmatch(image)
    if match is None or not re.search(r"[.:]|^localhost$", match["registry"]):
        refuse("does not name its registry", allowed="registry.example/path:tag; library images are not used")
    if match["registry"] in ("docker.io", "index.docker.io") and re.match(r"[^/]+/(?:library/|[^/]+$)", image):
        refuse("is a library image of Docker Hub", allowed="an image of the application's own")
    if not match["digest"] and match["tag"] in (None, "latest"):
        refuse("is not pinned", allowed="a tag other than latest, or a digest")
    return image


Place = Annotated[str, AfterValidator(_check_place)]
Labels = Annotated[dict[str, str], AfterValidator(_check_labels)]
KubernetesName = Annotated[str, AfterValidator(_check_kubernetes_name)]
Quantity = Annotated[str, AfterValidator(_check_quantity)]
Image = Annotated[str, AfterValidator(_check_image)]


class LocalHookRunner(Strict):
    """Where the worker runs: a command of this machine, or of the service's image."""

    kind: Literal["local"] = Field(description="The command runs where the worker runs.")


class _ClusterHookRunner(Strict):
    namespace: KubernetesName = Field(description="The namespace of the pod.")
    kubeconfig: AbsolutePath | None = Field(
        default=None, description="A kubeconfig file; the service's own account in its cluster when absent."
    )
    context: Text | None = Field(default=None, description="A context of that file; its current one when absent.")


class PodHookRunner(_ClusterHookRunner):
    """In a running pod of the application, by exec."""

    kind: Literal["pod"] = Field(description="The command runs in a running pod.")
    labels: Labels = Field(description="Labels that the pod has, all of them.")
    container: KubernetesName | None = Field(
        default=None, description="The container; the pod's default one when absent."
    )
    pick: Literal["first_ready", "only"] = Field(
        default="first_ready",
        description="Of several ready pods: `first_ready` takes the first by name, `only` refuses.",
    )


class SecretVariable(Strict):
    """Where the value of a variable comes from."""

    name: Variable = Field(description="Name of the variable in the Job.")
    secret_name: KubernetesName = Field(description="Name of the Secret, in the Job's namespace.")
    key: Text = Field(description="Key within the Secret.")


class JobHookRunner(_ClusterHookRunner):
    """In a pod of its own, made by a Job from the application's image."""

    kind: Literal["job"] = Field(description="The command runs in a pod that a Job makes for it.")
    image: Image = Field(description="The application's image, with its registry and a tag (not `latest`) or a digest.")
    service_account: KubernetesName = Field(default="default", description="The pod's service account.")
    secrets: tuple[SecretVariable, ...] = Field(
        default=(), description="Variables whose values Kubernetes takes from Secrets."
    )
    image_pull_secrets: tuple[KubernetesName, ...] = Field(
        default=(), description="Secrets that the image is pulled with."
    )
    run_as_user: Positive | None = Field(
        default=None, description="User id of the command, never root; the image's user when absent."
    )
    cpu: Quantity = Field(default="500m", description="CPU that the pod asks for and may use.")
    memory: Quantity = Field(default="512Mi", description="Memory that the pod asks for and may use.")
    scratch: Quantity = Field(default="1Gi", description="Disk for `writablePaths`, asked for and at most used.")
    writable_paths: tuple[Place, ...] = Field(
        default=("/tmp",),  # noqa: S108 - in the Job's container, and empty there
        description="Folders that the command may write; all others are read-only. The artefact's is one anyway.",
    )
    start_timeout: Annotated[Positive, Field(le=3600)] = Field(
        default=300, description="Seconds until the pod must run: time for a node, and for pulling the image."
    )


Runner = Annotated[LocalHookRunner | PodHookRunner | JobHookRunner, Field(discriminator="kind")]


class HookDefinition(Strict):
    """A command that runs before a backup."""

    name: Name = Field(description="Unique name of the hook.")
    command: Command = Field(
        description="Program and arguments: a list, or a text that is split as a shell would. No shell runs it."
    )
    timeout: Annotated[Positive, Field(le=86400)] = Field(
        default=300, description="Seconds after which the command is stopped, and has failed."
    )
    before: Literal["configuration", "database_dump", "files"] = Field(
        default="configuration", description="The component whose backup waits for the hook, and fails with it."
    )
    store_artifact: StrictBool = Field(
        default=False, description="Keep what the command leaves at `artifactPath`; only before `configuration`."
    )
    artifact_path: Place | None = Field(
        default=None, description="File or folder that the command writes, absolute, where the command runs."
    )
    environment: PlainVariables = Field(default={}, description="Variables of the command; no secrets.")
    pass_env: tuple[Variable, ...] = Field(
        default=(),
        description="Names of the worker's variables that are handed on. Their values are hidden in all output.",
    )
    working_directory: AbsolutePath | None = Field(default=None, description="Where the command runs.")
    runner: Runner = Field(default=LocalHookRunner(kind="local"), description="What runs the command.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.store_artifact and self.artifact_path is None:
            refuse("has storeArtifact without artifactPath", allowed="both, or neither")
        if self.store_artifact and self.before != "configuration":
            refuse(f"stores an artefact before {self.before}", allowed="storeArtifact before configuration")
        if twice := sorted(set(self.environment) & set(self.pass_env)):
            refuse(f"has '{twice[0]}' in environment and in passEnv", allowed="either")
        return self


def refuse_duplicates(hooks: tuple[HookDefinition, ...]) -> tuple[HookDefinition, ...]:
    """Refuse two hooks of one name: an artefact would replace the other's.

    Raises:
        PydanticCustomError: there are two.
    """
    names = [hook.name for hook in hooks]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        refuse(f"has '{twice[0]}' twice", allowed="a name of its own for every hook")
    return hooks


def open_hooks(definition: "SiteDefinition", environment: Mapping[str, str]) -> tuple[BoundHook, ...]:
    """Return a site's hooks in their order, each with what runs it; nothing is connected to.

    Args:
        definition: what the site file says.
        environment: the worker's variables, with all those that hooks name in ``passEnv``.
    """
    return tuple(_open(definition, hook, environment) for hook in definition.hooks)


def _open(definition: "SiteDefinition", told: HookDefinition, environment: Mapping[str, str]) -> BoundHook:
    hook = Hook(told.name, told.command, told.timeout, told.store_artifact, told.artifact_path)
    secrets = {name: environment[name] for name in told.pass_env}
    redaction = redaction_of(secrets)
    return BoundHook(hook, _runner(definition, told, environment, secrets, redaction=redaction), Component(told.before))


def _runner(
    definition: "SiteDefinition",
    told: HookDefinition,
    environment: Mapping[str, str],
    secrets: Mapping[str, str],
    *,
    redaction: Redaction,
) -> HookRunner:
    runner, directory = told.runner, told.working_directory
    variables = {**told.environment, **secrets}
    if isinstance(runner, LocalHookRunner):
        return local_runner(environment, variables, redaction=redaction, directory=directory)
    cluster = ClusterAccess(runner.namespace, runner.kubeconfig, runner.context)
    if isinstance(runner, PodHookRunner):
        selector = PodSelector(runner.labels, runner.container, only=runner.pick == "only")
        return PodRunner(cluster, selector, variables, redaction, directory)
    template = JobTemplate(
        site=definition.site_id,
        environment=definition.environment,
        image=runner.image,
        service_account=runner.service_account,
        secrets=tuple(SecretKey(one.name, one.secret_name, one.key) for one in runner.secrets),
        image_pull_secrets=runner.image_pull_secrets,
        run_as_user=runner.run_as_user,
        cpu=runner.cpu,
        memory=runner.memory,
        scratch=runner.scratch,
        writable_paths=runner.writable_paths,
        start_timeout_seconds=runner.start_timeout,
    )
    return JobRunner(cluster, template, variables, redaction, directory)
