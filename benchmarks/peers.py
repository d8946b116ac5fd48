"""Other backup systems, run beside ours on the same machine: pgBackRest and Barman, as an account that may."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks.measured import Measured, measure
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.servers.account import give_to, reachable_directory, server_account

_PGBACKREST = """\
[global]
repo1-path={home}/repository
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=bench-cipher-pass
repo1-bundle=y
repo1-retention-full=9
compress-type=zst
compress-level=3
process-max={processes}
log-level-console=error
log-level-file=off
lock-path={home}/lock
spool-path={home}/spool
archive-check=n
start-fast=y

[bench]
pg1-path={server.data_directory}
pg1-port={server.port}
pg1-socket-path={socket}
pg1-user=postgres
"""

_BARMAN = """\
[barman]
barman_home = {home}
barman_user = {user}
log_file = {home}/barman.log
log_level = ERROR
configuration_files_directory = {home}/conf.d

[bench]
description = bench
conninfo = host=127.0.0.1 port={server.port} user=postgres password={server.password} dbname=postgres
streaming_conninfo = host=127.0.0.1 port={server.port} user=postgres password={server.password}
backup_method = postgres
backup_compression = zstd
backup_compression_level = 3
backup_compression_location = client
immediate_checkpoint = true
streaming_archiver = on
slot_name = barman
minimum_redundancy = 0
path_prefix = {server.bin_directory}
"""


class PgBackRest:
    """pgBackRest with a local repository: zstd level 3, AES-256, bundles.

    Args:
        server: the server to back up, on this machine.
        home: folder of its repository.
        processes: its ``process-max``.
    """

    def __init__(self, server: PostgresServer, home: Path, *, processes: int) -> None:
        self._account = server_account()
        home.mkdir(parents=True, exist_ok=True)
        self.home = reachable_directory(home / "pgbackrest", self._account)
        self._config = self.home / "pgbackrest.conf"
        self._password = server.password
        socket = server.place / "socket"
        self._config.write_text(_PGBACKREST.format(home=self.home, server=server, socket=socket, processes=processes))
        give_to(self._account, self._config)
        self._run("stanza-create")

    def backup(self, kind: str) -> Measured:
        """Make a backup of type ``full`` or ``incr``."""
        return self._run("backup", f"--type={kind}")

    def restored(self) -> Measured:
        """Restore the newest backup into a new directory, and remove it again."""
        target = self.home / "restored"
        target.mkdir(mode=0o700)
        give_to(self._account, target)
        measured = self._run("restore", f"--pg1-path={target}", "--type=immediate", "--archive-mode=off")
        shutil.rmtree(target)
        return measured

    def stored_bytes(self) -> int:
        """Bytes of all backups in the repository, without WAL."""
        return _bytes_below(self.home / "repository" / "backup")

    def _run(self, command: str, *options: str) -> Measured:
        program = shutil.which("pgbackrest")
        assert program is not None
        return _measure_as(
            self._account,
            [program, f"--config={self._config}", "--stanza=bench", *options, command],
            environment={"PGPASSWORD": self._password, "HOME": str(self.home)},
        )


class Barman:
    """Barman with ``pg_basebackup``, compressed by the client; it does not encrypt here."""

    def __init__(self, server: PostgresServer, home: Path) -> None:
        self._account = server_account()
        home.mkdir(parents=True, exist_ok=True)
        self.home = reachable_directory(home / "barman", self._account)
        (self.home / "conf.d").mkdir(exist_ok=True)
        self._config = self.home / "barman.conf"
        user = self._account.name if self._account else os.environ.get("USER", "barman")
        self._config.write_text(_BARMAN.format(home=self.home, server=server, user=user))
        give_to(self._account, self._config)
        self._run("receive-wal", "--create-slot", "bench")
        self._receiver = self._start("receive-wal", "bench")
        while not list((self.home / "bench" / "streaming").glob("*.partial")):
            if self._receiver.poll() is not None:
                raise SystemExit(f"Barman's receiver ended: {(self.home / 'barman.log').read_text()[-2000:]}")
            time.sleep(0.2)
        self._run("switch-wal", "--force", "--archive", "--archive-timeout", "60", "bench")

    def backup(self) -> Measured:
        """Make a full backup."""
        return self._run("backup", "bench")

    def stored_bytes(self) -> int:
        """Bytes of all backups, without the archive of WAL."""
        return _bytes_below(self.home / "bench" / "base")

    def close(self) -> None:
        """End the receiver of WAL."""
        self._receiver.terminate()
        self._receiver.wait()

    def _command(self, *words: str) -> list[str]:
        program = shutil.which("barman")
        assert program is not None
        return [program, "--config", str(self._config), *words]

    def _run(self, *words: str) -> Measured:
        return _measure_as(self._account, self._command(*words), environment={"HOME": str(self.home)})

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        command, environment = _as(self._account, self._command(*words), {"HOME": str(self.home)})
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def server_cpu_seconds(server: PostgresServer) -> float:
    """CPU time of a server and of all its backends that have ended."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(each) for each in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _measure_as(account: object, command: list[str], *, environment: dict[str, str]) -> Measured:
    command, told = _as(account, command, environment)
    return measure(command, environment=told, discard=True)


def _as(account: object, command: list[str], environment: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    told = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environment}
    if account is None:
        return command, told
    runuser = shutil.which("runuser")
    assert runuser is not None
    return [runuser, "-u", account.name, "--", *command], told  # type: ignore[attr-defined]


def _bytes_below(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
