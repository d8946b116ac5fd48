"""Commands in a site file: how they are written, and what runs one on this machine."""

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from lc2_backup_dagster.engines.exports.redaction import is_secret_name, redacted_lines
from lc2_backup_dagster.engines.hooks.local.runner import LocalRunner
from lc2_backup_dagster.engines.hooks.redaction import Redaction
from lc2_backup_dagster.sites.values import AbsolutePath, Positive, Strict, Variable, refuse

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DIRECTORY = "{directory}"
"""Stands for the restored documents in the words of an import's command."""


def _split_command(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return shlex.split(given)
    except ValueError as error:
        refuse(f"cannot be split into words: {str(error).lower()}", allowed="words as for a shell, or a list of words")


def _check_command(command: tuple[str, ...]) -> tuple[str, ...]:
    if not command or not command[0]:
        refuse("is empty", allowed="a program and its arguments")
    if any("\0" in word for word in command):
        refuse("has control characters", allowed="a program and its arguments")
    return command


def _check_environment(variables: dict[str, str]) -> dict[str, str]:
    for name, value in variables.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII) or "\0" in value:
            refuse(f"has the variable '{name}'", allowed="letters, digits and '_'; values without control characters")
        if is_secret_name(name):
            refuse(f"would hold a secret, '{name}'", allowed="plain values here, and passEnv for names of secrets")
    return variables


Command = Annotated[tuple[str, ...], BeforeValidator(_split_command), AfterValidator(_check_command)]
PlainVariables = Annotated[dict[str, str], AfterValidator(_check_environment)]


class ImportCommand(Strict):
    """The command that imports a restored configuration; it runs only where a restore asks for it."""

    command: Command = Field(
        description="Program and arguments: a list, or a text that is split as a shell would. No shell runs it. "
        "`{directory}` stands for the folder of the restored documents, and must be in it."
    )
    timeout: Annotated[Positive, Field(le=86400)] = Field(
        default=1800, description="Seconds after which the command is stopped, and has failed."
    )
    environment: PlainVariables = Field(default={}, description="Variables of the command; no secrets.")
    pass_env: tuple[Variable, ...] = Field(
        default=(),
        description="Names of the worker's variables that are handed on. Their values are hidden in all output.",
    )
    working_directory: AbsolutePath | None = Field(default=None, description="Where the command runs.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not any(DIRECTORY in word for word in self.command):
            refuse(f"does not say where {DIRECTORY} goes, and would import something else", allowed=f"… {DIRECTORY} …")
        if twice := sorted(set(self.environment) & set(self.pass_env)):
            refuse(f"has '{twice[0]}' in environment and in passEnv", allowed="either")
        return self


def redaction_of(secrets: Mapping[str, str]) -> Redaction:
    """Return what a command's output must not show.

    Args:
        secrets: variables that are handed on to it.
    """
    return Redaction(frozenset(secrets.values()), redacted_lines, is_secret_name)


def local_runner(
    environment: Mapping[str, str], variables: Mapping[str, str], *, redaction: Redaction, directory: Path | None
) -> LocalRunner:
    """Return what runs a command on this machine, with the few variables that every program needs and its own.

    Args:
        environment: the worker's variables; of others than those few nothing is handed on.
        variables: those of the command.
        redaction: what its output must not show.
        directory: where it runs; None for where the worker runs.
    """
    own = {
        "PATH": environment.get("PATH", _DEFAULT_PATH),
        "HOME": environment.get("HOME", os.sep),
        "LANG": environment.get("LANG", "C.UTF-8"),
    }
    return LocalRunner({**own, **variables}, redaction, directory)
