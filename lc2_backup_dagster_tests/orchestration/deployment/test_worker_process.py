"""A process id is only believed together with the time at which its owner started."""

import os
import subprocess
import sys
import time
from pathlib import Path

from lc2_backup_dagster.orchestration.deployment.worker_process import is_same_process


def test_a_living_process_that_reported_itself_is_recognised() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert is_same_process(child.pid, reported_at=time.time())
        child.kill()
        # Dead and not yet waited for: a zombie.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not is_same_process(child.pid, reported_at=time.time())
    assert not is_same_process(child.pid, reported_at=time.time())


def test_a_later_owner_of_the_same_id_is_not_the_worker() -> None:
    long_ago = time.time() - 10_000_000
    assert not is_same_process(os.getpid(), reported_at=long_ago)


def test_names_with_brackets_and_spaces_are_read(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu 1\nbtime 1000\n")
    (tmp_path / "7").mkdir()
    fields = ["S", *["0"] * 18, str(5 * os.sysconf("SC_CLK_TCK")), "0"]
    (tmp_path / "7" / "stat").write_text(f"7 (odd) name (x) {' '.join(fields)}\n")
    assert is_same_process(7, reported_at=1006.0, proc=tmp_path)
    assert not is_same_process(7, reported_at=900.0, proc=tmp_path)


def test_without_proc_only_existence_counts(tmp_path: Path) -> None:
    assert is_same_process(os.getpid(), reported_at=0.0, proc=tmp_path)
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    assert not is_same_process(child.pid, reported_at=0.0, proc=tmp_path)
