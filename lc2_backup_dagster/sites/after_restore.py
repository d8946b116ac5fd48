"""The part of a site file that is about what follows a restore: the import of a configuration, and the CDN.

Nothing connects here and no command runs: that is for the restore which asks for it.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from lc2_backup_dagster.applications.cdn.command import CommandInvalidation
from lc2_backup_dagster.applications.cdn.http import HttpInvalidation
from lc2_backup_dagster.applications.http.transport import check_base_url
from lc2_backup_dagster.engines.exports.redaction import is_secret_name
from lc2_backup_dagster.engines.files.restore.invalidation import PathRules
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.operations.site_context import CdnAccess, ConfigurationImport
from lc2_backup_dagster.sites.commands import Command, ImportCommand, PlainVariables, local_runner, redaction_of
from lc2_backup_dagster.sites.values import Positive, Strict, Text, Variable, refuse

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)


def _check_url(url: str) -> str:
    try:
        return check_base_url(url)
    except ConfigurationError:
        # The value is not repeated: it may hold a password.
        refuse("is no address of a CDN", allowed="https (http only on this machine), host and path, and nothing else")


def _check_header(name: str) -> str:
    if not _HEADER.fullmatch(name) or name.lower() in ("content-type", "content-length", "host"):
        refuse("is no header to set", allowed="the name of a header like Authorization; Content-Type is set anyway")
    return name


def _check_members(members: dict[str, str]) -> dict[str, str]:
    for name in members:
        if is_secret_name(name):
            refuse(f"would hold a secret, '{name}'", allowed="plain values here, and headers for names of secrets")
    return members


class CdnHeader(Strict):
    """A header of the call, its value a secret."""

    name: Annotated[str, AfterValidator(_check_header)] = Field(description="Name of the header.")
    value_env: Variable = Field(description="Name of the variable with its value.")


class _Paths(Strict):
    prefix: Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f]*$")] = Field(
        default="/", description="Stands before the key of a file, below `files.source.prefix`, like `/binaries/`."
    )
    per_call: Annotated[Positive, Field(le=100_000)] = Field(default=100, description="Paths that one call may name.")
    everything: Text | None = Field(
        default=None, description="What the CDN takes for all paths, like `/*`; none where it has no such word."
    )
    everything_above: Annotated[Positive, Field(le=100_000)] = Field(
        default=3000, description="With `everything`: where more files than these are to be named, it is said instead."
    )

    @property
    def rules(self) -> PathRules:
        """How keys become paths."""
        return PathRules(self.prefix, self.per_call, self.everything, self.everything_above)


class HttpCdn(_Paths):
    """The CDN is told by an HTTP call with a JSON object; tried again where it fails for a while."""

    kind: Literal["http"] = Field(description="How the CDN is told: by HTTP.")
    url: Annotated[str, AfterValidator(_check_url)] = Field(description="Address that is called, `https://…`.")
    method: Literal["POST", "PUT", "DELETE"] = Field(default="POST", description="Method of the call.")
    headers: tuple[CdnHeader, ...] = Field(default=(), description="Headers with secrets, like `Authorization`.")
    field_name: Text = Field(default="paths", description="What the list of paths is called in the JSON object.")
    more: Annotated[dict[str, str], AfterValidator(_check_members)] = Field(
        default={}, description="Further members of that object; no secrets."
    )


class CommandCdn(_Paths):
    """The CDN is told by a command, which reads paths from its standard input, one on a line, and ends with 0."""

    kind: Literal["command"] = Field(description="How the CDN is told: by a command of this machine.")
    command: Command = Field(
        description="Program and arguments: a list, or a text that is split as a shell would. No shell runs it."
    )
    timeout: Annotated[Positive, Field(le=3600)] = Field(
        default=60, description="Seconds after which one call of the command is killed, and has failed."
    )
    environment: PlainVariables = Field(default={}, description="Variables of the command; no secrets.")
    pass_env: tuple[Variable, ...] = Field(
        default=(),
        description="Names of the worker's variables that are handed on. Their values are hidden in all output.",
    )


Cdn = Annotated[HttpCdn | CommandCdn, Field(discriminator="kind")]


def open_import(told: ImportCommand, environment: Mapping[str, str]) -> ConfigurationImport:
    """Return the command that imports a restored configuration, with what runs it.

    Args:
        told: what the site file says.
        environment: the worker's variables, with all those that ``passEnv`` names.
    """
    secrets = {name: environment[name] for name in told.pass_env}
    runner = local_runner(
        environment,
        {**told.environment, **secrets},
        redaction=redaction_of(secrets),
        directory=told.working_directory,
    )
    return ConfigurationImport(told.command, told.timeout, runner)


def open_cdn(told: HttpCdn | CommandCdn, environment: Mapping[str, str]) -> CdnAccess:
    """Return how the CDN is told; nothing is called.

    Args:
        told: what the site file says.
        environment: the worker's variables, with all those that headers and ``passEnv`` name.
    """
    if isinstance(told, HttpCdn):
        headers = {header.name: partial(environment.__getitem__, header.value_env) for header in told.headers}
        call = HttpInvalidation(
            told.url, method=told.method, headers=headers, field_name=told.field_name, more=dict(told.more)
        )
        return CdnAccess(f"{told.method} {told.url}", call, told.rules)
    secrets = {name: environment[name] for name in told.pass_env}
    command = CommandInvalidation(
        told.command, float(told.timeout), {**told.environment, **secrets}, redact=redaction_of(secrets).text
    )
    return CdnAccess(f"command {told.command[0]}", command, told.rules)
