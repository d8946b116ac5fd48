"""Make a restored directory harmless: it archives nothing and follows nobody, whatever its configuration says.

A restored server that ran with the original's ``archive_command`` would write its own history between the original's
WAL; one that went on along the original's timeline would do so as soon as it archives anything. Settings in
``postgresql.auto.conf`` win over every other file; they can be taken back with ``ALTER SYSTEM RESET``.
"""

from collections.abc import Mapping
from pathlib import Path

from lc2_backup_dagster.engines.postgres.servers.account import account_owning, give_to

SIGNAL = "recovery.signal"
_NAME = "postgresql.auto.conf"
_HEAD = "# Restored by lc2-backup: archives nothing, follows nobody. Take back with ALTER SYSTEM RESET <name>.\n"
_QUIET = {"archive_mode": "off", "restore_command": "", "primary_conninfo": "", "primary_slot_name": ""}
_FIRST_START_HEAD = "# The first start ends where the backup ends, and begins a new timeline.\n"
# Targets that are set to nothing come before the one that is set: a second target is an error even when it is empty.
_FIRST_START = {
    "restore_command": "false",
    "recovery_end_command": "",
    "recovery_min_apply_delay": "0",
    "recovery_target_name": "",
    "recovery_target_time": "",
    "recovery_target_xid": "",
    "recovery_target_lsn": "",
    "recovery_target_timeline": "current",
    "recovery_target_action": "promote",
    "recovery_target": "immediate",
}


def settle(directory: Path) -> None:
    """Append the settings, once. The directory's server must not run."""
    _append(directory, _HEAD + _lines(_QUIET))


def owe_recovery(directory: Path) -> None:
    """Let no server start on a settled directory before somebody says how its recovery goes.

    PostgreSQL refuses ``recovery.signal`` without a ``restore_command``.
    """
    signal = directory / SIGNAL
    signal.touch(mode=0o600)
    give_to(account_owning(directory), signal)


def recover_at_first_start(directory: Path, histories: Mapping[int, bytes]) -> None:
    """Let the first start of a settled directory recover to the backup's own end and begin a new timeline.

    Args:
        directory: its server must not run.
        histories: history files of the timelines that are taken: the server takes the first number that has none.
    """
    account = account_owning(directory)
    for timeline, content in histories.items():
        path = directory / "pg_wal" / f"{timeline:08X}.history"
        if path.exists():
            continue
        path.touch(mode=0o600)
        path.write_bytes(content)
        give_to(account, path)
    _append(directory, _FIRST_START_HEAD + _lines(_FIRST_START))
    owe_recovery(directory)


def _lines(settings: Mapping[str, str]) -> str:
    return "".join(f"{name} = '{value}'\n" for name, value in settings.items())


def _append(directory: Path, block: str) -> None:
    path = directory / _NAME
    content = path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""
    if content.endswith(block):
        return
    if content and not content.endswith("\n"):
        content += "\n"
    written = path.with_name(f"{_NAME}.tmp")
    written.touch(mode=0o600)
    written.write_text(content + block, encoding="utf-8", errors="surrogateescape")
    give_to(account_owning(directory), written)
    written.rename(path)
