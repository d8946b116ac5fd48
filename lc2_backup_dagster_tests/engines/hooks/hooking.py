"""Builders of hooks, and processes looked for by a mark in their environment."""

import os
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from lc2_backup_dagster.engines.hooks.hook import Hook
from lc2_backup_dagster.engines.hooks.local.runner import LocalRunner

ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/", "LANG": "C.UTF-8"}


def a_hook(*command: str, timeout_seconds: int = 30, artifact_path: Path | str | None = None) -> Hook:
    path = None if artifact_path is None else str(artifact_path)
    return Hook("export", command, timeout_seconds, store_artifact=path is not None, artifact_path=path)


def shell(script: str, **facts: Any) -> Hook:
    return a_hook("/bin/sh", "-c", script, **facts)


def python(script: str, **facts: Any) -> Hook:
    return a_hook(sys.executable, "-c", script, **facts)


def a_runner(**facts: Any) -> LocalRunner:
    return LocalRunner(**{"environment": ENVIRONMENT, "grace_seconds": 0.3, **facts})


class Marked:
    """Finds processes that inherited a mark in their environment, wherever they went."""

    def __init__(self) -> None:
        self.value = uuid4().hex
        self.environment = {**ENVIRONMENT, "HOOK_MARK": self.value}

    def pids(self) -> list[int]:
        found: list[int] = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                living = entry.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "Z"
                if living and self.value.encode() in entry.joinpath("environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def wait_until(self, count: int, *, seconds: float = 20) -> list[int]:
        """Wait until so many live; return those that do at the end."""
        until = time.monotonic() + seconds
        while len(pids := self.pids()) != count and time.monotonic() < until:
            time.sleep(0.02)
        return pids
