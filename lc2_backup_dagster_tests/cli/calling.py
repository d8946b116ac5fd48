"""Call ``lc2-backup`` in this process or as a real one, and look for secrets in everything it says."""

import json
import os
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from lc2_backup_dagster.cli.main import group
from lc2_backup_dagster_tests.operations.tiny_site import TinySite

PROGRAM = Path(sysconfig.get_path("scripts")) / "lc2-backup"


@dataclass(frozen=True)
class Answer:
    """What a call said and ended with."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def secrets_of(variables: Mapping[str, str]) -> list[str]:
    """Return what must never be printed: the values of variables that hold secrets."""
    return [value for name, value in variables.items() if "PASSWORD" in name or "SECRET" in name]


def lc2(site: TinySite, *arguments: object, **variables: str) -> Answer:
    """Call the command line in this process, with a site's variables."""
    environment = {**site.variables, **variables}
    result = CliRunner().invoke(group, [str(each) for each in arguments], env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return checked(site, environment, Answer(result.exit_code, result.stdout, result.stderr))


def lc2_process(site: TinySite, *arguments: object, **variables: str) -> Answer:
    """Call the installed program."""
    environment = {**site.variables, **variables}
    done = subprocess.run(
        [str(PROGRAM), *(str(each) for each in arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return checked(site, environment, Answer(done.returncode, done.stdout, done.stderr))


def checked(site: TinySite, environment: Mapping[str, str], answer: Answer) -> Answer:
    key = Path(site.values["destination"]["encryption"]["key"]["path"])
    never = [*secrets_of(environment), *([key.read_text().strip()] if key.exists() else [])]
    assert not [secret for secret in never if secret in answer.out + answer.err]
    return answer
