"""Start a restored data directory privately, to ask it or to dump from it.

The server listens on a Unix socket in a private directory only, trusts who can reach that socket, archives nothing
(a restored server must never write into the repository it came from) and replicates from nobody. Its own
configuration files are not used: they may lie elsewhere (Debian), name libraries, certificates or memory that this
machine does not have. ``postgresql.auto.conf`` is read all the same, so whatever could steer a recovery is set here.
What recovery insists on is taken from ``pg_controldata``.
"""

import re
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lc2_backup_dagster.engines.postgres.servers.account import (
    Account,
    account_owning,
    give_to,
    reachable_binaries,
    reachable_directory,
)
from lc2_backup_dagster.engines.postgres.servers.postmaster import Postmaster
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.engines.postgres.servers.tool_process import run_tool
from lc2_backup_dagster.engines.postgres.servers.tools import find_programs, program_version
from lc2_backup_dagster.model.errors import ConfigurationError, ToolMissing

_PORT = 5432
# Without these at the primary's values a standby refuses to go on; they cost nothing else.
_CONTROL_SETTINGS = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_wal_senders setting": "max_wal_senders",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
}
_PRIVATE = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "ssl": "off",
    "archive_mode": "off",
    "archive_command": "",
    "primary_conninfo": "",
    "primary_slot_name": "",
    "restore_command": "",
    "recovery_end_command": "",
    "archive_cleanup_command": "",
    "recovery_target": "",
    "recovery_target_name": "",
    "recovery_target_time": "",
    "recovery_target_xid": "",
    "recovery_target_lsn": "",
    "recovery_target_inclusive": "on",
    "recovery_target_timeline": "latest",
    "recovery_target_action": "pause",
    "recovery_min_apply_delay": "0",
    # Nobody is let in before recovery has ended.
    "hot_standby": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
    # How a recovery ended is read from the log, in English.
    "log_min_messages": "warning",
    "lc_messages": "C",
    # A commit would wait for a standby that is not there.
    "synchronous_standby_names": "",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "shared_buffers": "64MB",
    "huge_pages": "off",
    "max_logical_replication_workers": "0",
    "external_pid_file": "",
    "timezone": "UTC",
}


@contextmanager
def started(
    data_directory: Path, *, user: str = "postgres", database: str = "postgres",
    tools_directory: Path | None = None, timeout_seconds: float = 600.0, fsync: bool = True,
    settings: Mapping[str, str] | None = None,
) -> Generator[Server]:  # fmt: skip
    """Start a restored directory, wait until recovery has ended, yield its address, and stop it.

    Args:
        data_directory: a restored directory, owned by whom it shall run as (never root). Recovery changes it.
        user: an existing superuser of the restored cluster.
        database: database of the address.
        tools_directory: configured directory of PostgreSQL's programs.
        timeout_seconds: how long recovery may take.
        fsync: False is faster and fit only for a directory that is thrown away afterwards.
        settings: further settings (recovery), which win over those above.

    Raises:
        ToolMissing: there is no ``postgres`` of the data's major version.
        ToolFailed: it did not start or not become ready; the message holds the end of its log.
    """
    directory = data_directory.absolute()
    account = account_owning(directory)
    try:
        major = int((directory / "PG_VERSION").read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{directory} is not a data directory of PostgreSQL") from error
    binaries = find_programs("postgres", major=major, directory=tools_directory)
    place = private_place(account)
    try:
        runnable = reachable_binaries(binaries, account, copy_to=place)
        postmaster = Postmaster(
            bin_directory=runnable,
            data_directory=directory,
            log_file=place / "server.log",
            settings=_with(
                {
                    "fsync": "on" if fsync else "off",
                    **_PRIVATE,
                    **_recovery_settings(binaries, directory),
                    **_own_files(place, account),
                },
                settings or {},
            ),
            account=account,
        )
        try:
            postmaster.start(timeout_seconds=timeout_seconds)
            yield Server(host=str(place), port=_PORT, user=user, password=None, database=database, sslmode="disable")
        finally:
            postmaster.stop()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def start_and_ask(
    data_directory: Path, query: str, *, user: str = "postgres", database: str = "postgres",
    tools_directory: Path | None = None, timeout_seconds: float = 600.0, fsync: bool = True,
) -> list[tuple[Any, ...]]:  # fmt: skip
    """Start a restored directory, run one query, stop it, and return the rows (see ``started``)."""
    with (
        started(
            data_directory, user=user, database=database,
            tools_directory=tools_directory, timeout_seconds=timeout_seconds, fsync=fsync,
        ) as server,
        server.connect() as connection,
    ):  # fmt: skip
        return connection.execute(query.encode()).fetchall()


def private_place(account: Account | None) -> Path:
    """Make a directory of the account's own, with a name that is short enough for a socket in it."""
    # mkdtemp in /tmp keeps the socket's path short (107 bytes); reachable_directory asks whether it can be entered.
    parent = tempfile.gettempdir()
    made = Path(tempfile.mkdtemp(prefix="lc2-scratch-", dir=parent if len(parent) < 60 else "/tmp"))  # noqa: S108
    place = reachable_directory(made, account)
    if place != made:
        made.rmdir()
    return place


def _with(private: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Return both; the second win and come last.

    To set a second recovery target is an error even when it is set to nothing, so the empty ones go first.
    """
    return {**{name: value for name, value in private.items() if name not in settings}, **settings}


def _own_files(place: Path, account: Account | None) -> dict[str, str]:
    contents = {"postgresql.conf": "", "pg_hba.conf": "local all all trust\n", "pg_ident.conf": ""}
    for name, content in contents.items():
        (place / name).write_text(content, encoding="utf-8")
        give_to(account, place / name)
    return {
        "config_file": str(place / "postgresql.conf"),
        "hba_file": str(place / "pg_hba.conf"),
        "ident_file": str(place / "pg_ident.conf"),
        "unix_socket_directories": str(place),
    }


def _recovery_settings(binaries: Path, directory: Path) -> dict[str, str]:
    program = binaries / "pg_controldata"
    if program_version(program) is None:
        # npm's servers come without it; without standby.signal the server does not insist either
        return {}
    try:
        text = run_tool([str(program), str(directory)], server=None).decode("utf-8", "replace")
    except ToolMissing:
        return {}
    found = dict(re.findall(r"^(.+?):\s+(.*)$", text, re.MULTILINE))
    return {setting: found[label] for label, setting in _CONTROL_SETTINGS.items() if label in found}
