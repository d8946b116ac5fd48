"""One command measured as a whole process tree: wall time, CPU time, peak memory."""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

_SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Measured:
    """What a command cost.

    Attributes:
        seconds: wall time.
        cpu_seconds: user and system time of the command and all its children.
        peak_bytes: largest resident memory of the command's own process.
        tree_peak_bytes: largest resident memory of the whole tree, sampled.
        told: what the command printed as JSON on its last line.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    tree_peak_bytes: int
    told: dict[str, Any] = field(default_factory=dict)


def measure(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    discard: bool = False,
    failing: bool = False,
) -> Measured:
    """Run a command to its end and measure it.

    Args:
        command: program and arguments.
        environment: replaces this process's environment.
        discard: throw its output away instead of reading the last line as JSON.
        failing: take an exit code of 1 for an end as good as any.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL if discard else subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        peaks = _Sampler(process.pid)
        peaks.start()
        output, errors = process.communicate()
        peaks.stop()
    seconds = time.monotonic() - began
    if process.returncode not in ((0, 1) if failing else (0,)):
        raise SystemExit(f"{' '.join(command)[:200]} failed: {errors.decode(errors='replace')[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = {} if discard or not output.strip() else json.loads(output.decode().strip().splitlines()[-1])
    return Measured(seconds, cpu, max(peaks.own, told.get("peak_bytes", 0)), peaks.tree, told)


def worker(task: str, sites: Path, environment: Mapping[str, str], *arguments: str) -> Measured:
    """Run one operation of ours in a process of its own, as a run worker does."""
    command = [sys.executable, "-m", "benchmarks.worker", task, str(sites), *arguments]
    return measure(command, environment={**os.environ, **environment})


class _Sampler(threading.Thread):
    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self._ended = threading.Event()
        self.own = self.tree = 0

    def run(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            try:
                own = self._root.memory_info().rss
                tree = own + sum(child.memory_info().rss for child in self._root.children(recursive=True))
            except psutil.Error:
                continue
            self.own, self.tree = max(self.own, own), max(self.tree, tree)

    def stop(self) -> None:
        self._ended.set()
        self.join()
