"""The commands of README.txt for a moment between two backups, literally, as the account that runs PostgreSQL."""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from lc2_backup_dagster.demo.servers.postgres import wheel_bin_directory
from lc2_backup_dagster.engines.postgres.servers.account import give_to, reachable_binaries, run_as, server_account
from lc2_backup_dagster.repository.kit import kit_files
from lc2_backup_dagster_tests.fixtures_postgres import start_server
from lc2_backup_dagster_tests.operations.recorded_history import DATABASE, RecordedHistory
from lc2_backup_dagster_tests.repository.kit.running import strangers_python

README = kit_files()["README.txt"].decode()
NOT_MET = "recovery ended before configured recovery target was reached"


def line(beginning: str) -> str:
    """Return the command of README.txt that begins so, without the remark behind it."""
    found = [each.strip() for each in README.splitlines() if each.startswith(f"    {beginning}")]
    assert len(found) == 1, (beginning, found)
    return re.split(r"\s{3,}", found[0])[0]


class Stranger:
    """Somebody with a copy of the bucket, the key file, Python and PostgreSQL, and nothing of ours."""

    def __init__(self, place: Path, history: RecordedHistory, root: Path) -> None:
        self.place = place
        self.account = server_account()
        shutil.copytree(root / "bucket", place / "copy")
        shutil.copy(root / "site.key", place / "site.key")
        programs = reachable_binaries(wheel_bin_directory(), self.account, copy_to=place)
        self.environment = strangers_python(place)
        self.environment["PATH"] = f"{programs}:{self.environment['PATH']}"
        self.environment |= {"PGHOST": str(place), "PGUSER": "postgres", "LC_ALL": "C"}
        self.environment["PGPASSWORD"] = history.server.password
        self.backup = history.first.backup_id
        self.own()
        self.system = self.run(line("python wal.py list"))[0].split("\t")[0]

    def own(self) -> None:
        for path in (self.place, *self.place.rglob("*")):
            give_to(self.account, path)

    def run(self, command: str, data: str = "data", **known: str) -> list[str]:
        """Run a line of README.txt, with what its words in capitals stand for, and return what it printed."""
        printed = self.attempt(command, data, **known)
        assert printed is not None, self.complaint
        return printed

    def attempt(self, command: str, data: str, **known: str) -> list[str] | None:
        """Run a line; None when it failed."""
        known = {"BACKUP": self.backup, "DATADIR": str(self.place / data), **known}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as complaint:  # a server would hold pipes open
            answer = subprocess.run(
                ["/bin/bash", "-c", "set -o pipefail; umask 077; " + self.filled(command, **known)],
                cwd=self.place,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=complaint,
                check=False,
                **run_as(self.account),
            )
            out.seek(0)
            complaint.seek(0)
            self.complaint = complaint.read().decode("utf-8", "replace")
            return out.read().decode().splitlines() if answer.returncode == 0 else None

    def filled(self, text: str, **known: str) -> str:
        kit = self.place / "copy/kit/0.1.0"
        known |= {"REPOSITORY": str(self.place / "copy"), "site.key": str(self.place / "site.key")}
        known |= {f"{each}.py": str(kit / f"{each}.py") for each in ("restore", "wal")}
        for word, value in known.items():
            text = re.sub(rf"(?<![\w.]){re.escape(word)}(?![\w])", value, text)
        return text

    def unpack(self, data: str) -> None:
        for beginning in (
            "mkdir --mode=0700 DATADIR",
            "python restore.py stream REPOSITORY BACKUP base.tar",
            "python restore.py stream REPOSITORY BACKUP backup_manifest",
        ):
            self.run(line(beginning), data)
        commands = [each.strip() for each in README.splitlines() if "    pg_verifybackup" in each]
        self.run(commands[0], data)

    def recover(self, data: str, *, moment: str | None) -> bool:
        """Say whether the server comes up; what it says of why it does not lies in its log."""
        settings = [line(each) for each in ("archive_mode", "primary_conninfo", "restore_command")]
        if moment:
            settings.append(re.sub(r"'.*'", f"'{moment}'", line("recovery_target_time")))
            settings.append(line("recovery_target_action"))
        text = self.filled("\n".join(settings), SYSTEM=self.system)
        with (self.place / data / "postgresql.auto.conf").open("a") as file:
            file.write(f"\n{text}\n")
        self.run(line("touch DATADIR/recovery.signal"), data)
        options = shlex.quote(f"-c fsync=off -c listen_addresses= -c unix_socket_directories={self.place}")
        start = line("pg_ctl --pgdata=DATADIR --timeout").replace(
            " start", f" --log=DATADIR/log --options={options} start"
        )
        begun = self.attempt(start, data)
        return begun is not None and self.came_up(data)

    def came_up(self, data: str) -> bool:
        """Wait until the server says that its recovery has ended, or is gone."""
        deadline = time.monotonic() + 60
        while (self.place / data / "postmaster.pid").exists():
            told = self.attempt(line("psql --dbname=postgres --command"), data)
            if told and any(re.match(r" f +\|", each) for each in told):
                return True
            assert time.monotonic() < deadline, (self.complaint, self.log(data))
            time.sleep(0.05)
        return False

    def stop(self, data: str) -> None:
        if (self.place / data / "postmaster.pid").exists():
            self.run("pg_ctl --pgdata=DATADIR --mode=immediate stop", data)

    def log(self, data: str) -> str:
        return (self.place / data / "log").read_text(encoding="utf-8", errors="replace")

    def rows(self, data: str) -> list[int]:
        found = self.run(f"psql --dbname={DATABASE} -Atc 'SELECT n FROM log ORDER BY n'", data)
        return [int(each) for each in found]


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Rows 1–2, backup, 3–4, a segment's end, 5–6, all archived; a promotion, 7–8, a segment's end, 9, archived."""
    server = start_server(tmp_path_factory.mktemp("history"))
    try:
        recorded = RecordedHistory(server, tmp_path_factory.mktemp("site") / "root")
        recorded.commit()
        recorded.commit()
        recorded.first = recorded.back_up().backup
        recorded.commit()
        recorded.commit()
        recorded.switch()
        recorded.commit()
        recorded.commit()
        recorded.archive()
        recorded.promote()
        recorded.commit()
        recorded.commit()
        recorded.switch()
        recorded.commit()
        recorded.archive()
        yield recorded
    finally:
        server.remove()


@pytest.fixture(scope="module")
def stranger(history):
    with tempfile.TemporaryDirectory(prefix="lc2-kit-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Stranger(Path(folder), history, history.site.root)


@pytest.fixture
def data(stranger):
    """The name of an unpacked backup's directory; its server is stopped in the end."""
    stranger.unpack("data")
    yield "data"
    stranger.stop("data")
    shutil.rmtree(stranger.place / "data")


def test_one_segment_can_be_tried_beforehand(stranger):
    first = next(each.split("\t")[3] for each in stranger.run(line("python wal.py list")) if "\tsegments\t" in each)
    stranger.run(line("python wal.py fetch"), SYSTEM=stranger.system, SEGMENT=first)
    assert not (stranger.place / "probe").exists()


@pytest.mark.parametrize("number", [3, 5, 8])
def test_a_moment_restores_exactly_what_was_committed_by_then(number, stranger, data, history):
    """In the same segment, in a later one that there is only the beginning of, and behind a promotion."""
    assert stranger.recover(data, moment=f"{history.events[number - 1].time:%Y-%m-%d %H:%M:%S.%f+00}")
    assert stranger.rows(data) == list(range(1, number + 1))


def test_without_a_target_it_is_all_there_is(stranger, data, history):
    assert stranger.recover(data, moment=None), stranger.log(data)
    assert stranger.rows(data) == list(range(1, len(history.events) + 1))


def test_a_server_keeps_the_history_file_of_the_timeline_that_it_follows(stranger, data, history):
    """By it ``wal.py`` knows where an old timeline was left, when nothing of the new one is archived yet."""
    (stranger.place / "copy/wal").rename(stranger.place / "wal")
    try:
        without = shutil.ignore_patterns("00000002")
        shutil.copytree(stranger.place / "wal", stranger.place / "copy/wal", ignore=without)
        stranger.own()
        assert stranger.recover(data, moment=None), stranger.log(data)
        assert stranger.rows(data) == list(range(1, 7))
        assert (stranger.place / data / "pg_wal/00000002.history").exists()
    finally:
        shutil.rmtree(stranger.place / "copy/wal")
        (stranger.place / "wal").rename(stranger.place / "copy/wal")


def test_a_moment_that_the_wal_does_not_reach_is_refused(stranger, data):
    assert not stranger.recover(data, moment="2097-01-01 00:00:00+00")
    assert NOT_MET in stranger.log(data)


@pytest.mark.parametrize("trouble", ["damaged", "lost", "no kit"])
def test_a_server_never_comes_up_short_of_damaged_wal(trouble, stranger, data):
    last = [each.split("\t") for each in stranger.run(line("python wal.py list")) if "\tsegments\t" in each][-1][3]
    path = stranger.place / "copy/kit/0.1.0/wal.py"
    if trouble != "no kit":
        path = next((stranger.place / "copy/wal").rglob(last))
    body = path.read_bytes()
    path.unlink()
    try:
        if trouble == "damaged":
            path.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
            give_to(stranger.account, path)
        assert not stranger.recover(data, moment=None)
        log = stranger.log(data)
        assert re.search(
            r"FATAL:  could not restore file .* from archive: child process exited with exit code 255", log
        )
        assert {"damaged": "other bytes", "lost": f"{last} is missing", "no kit": "can't open file"}[trouble] in log
    finally:
        path.write_bytes(body)
        give_to(stranger.account, path)
    assert stranger.recover(data, moment=None), stranger.log(data)
    assert stranger.rows(data)[-1] == 9
