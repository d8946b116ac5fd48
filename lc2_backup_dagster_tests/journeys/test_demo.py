"""The newcomer's road: one command backs up, restores and compares; a second call goes on where the first was."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]


def demo(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lc2-backup")
    return subprocess.run(
        [str(program), "demo", "--home", str(home), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
    )


def test_two_calls_of_the_demo_restore_what_they_backed_up_and_leave_nothing_behind(tmp_path: Path):
    # Some hundred files of each site: one or two that are deleted at the moment of a dump are a small share of them.
    small = ("--once", "--megabytes", "20", "--documents", "500")
    with socket.create_server(("127.0.0.1", 0)) as taken:  # and the usual ports may be taken by others, too
        assert taken.getsockname()
        first = demo(tmp_path / "home", *small)
    assert first.returncode == 0, first.stdout + first.stderr
    for files in ("document library (full)", "files (full)", "media (full)"):
        assert files in first.stdout
    for of_each_site in (
        "base backup (full)",
        "restorable until",
        "│ recovery point",
        "│ configuration",
        "restored configuration",
    ):
        assert first.stdout.count(of_each_site) == 3, (of_each_site, first.stdout)
    assert "base backup and WAL up to the same change" in first.stdout
    assert "objects changed since" in first.stdout
    assert "3 sites: identical" in first.stdout

    second = demo(tmp_path / "home", *small, "--still")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "from an earlier call" in second.stdout
    assert "people worked" in second.stdout
    for files in ("document library (incremental)", "files (incremental)", "media (incremental)"):
        assert files in second.stdout
    assert second.stdout.count("base backup (incremental)") == 3
    assert second.stdout.count("only blocks changed since") == 3
    assert "objects changed since" not in second.stdout
    assert "3 sites: identical" in second.stdout
    assert not processes_of(tmp_path / "home")

    assert demo(tmp_path / "home", "--clean").returncode == 0
    assert not (tmp_path / "home").exists()


def test_a_report_with_one_difference_is_not_identical():
    from lc2_backup_dagster.demo.comparison.differences import Findings
    from lc2_backup_dagster.demo.report import JourneyReport, SiteReport
    from lc2_backup_dagster.model.site import SiteId

    findings, nothing = Findings(), Findings().result()
    findings.add("public.user_", "row 20129 differs")
    good = SiteReport(SiteId("retail", "liferay"), differences={"database": nothing})
    bad = SiteReport(SiteId("retail", "drupal"), differences={"database": findings.result(), "files": nothing})
    silent = SiteReport(SiteId("retail", "bloomreach"))
    assert JourneyReport([good]).identical
    assert not JourneyReport([good, bad]).identical
    assert not JourneyReport([good, silent]).identical
    assert not JourneyReport([]).identical


def processes_of(home: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(home) in line and "pytest" not in line:
                found.append(line)
    return found
