"""Make a restored directory harmless: it archives nothing and follows nobody, whatever its configuration says.

A restored server that ran with the original's ``archive_command`` would write its own history between the original's
WAL. Settings in ``postgresql.auto.conf`` win over every other file; they can be taken back with ``ALTER SYSTEM RESET``.
"""

from pathlib import Path

from lc2_backup_dagster.engines.postgres.account import account_owning, give_to

_NAME = "postgresql.auto.conf"
_HEAD = "# Restored by lc2-backup: archives nothing, follows nobody. Take back with ALTER SYSTEM RESET <name>.\n"
_QUIET = ("archive_mode = 'off'", "restore_command = ''", "primary_conninfo = ''", "primary_slot_name = ''")


def settle(directory: Path) -> None:
    """Append the settings, once. The directory's server must not run."""
    path = directory / _NAME
    content = path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""
    if content.endswith(_block()):
        return
    if content and not content.endswith("\n"):
        content += "\n"
    written = path.with_name(f"{_NAME}.tmp")
    written.touch(mode=0o600)
    written.write_text(content + _block(), encoding="utf-8", errors="surrogateescape")
    give_to(account_owning(directory), written)
    written.rename(path)


def _block() -> str:
    return _HEAD + "".join(f"{line}\n" for line in _QUIET)
