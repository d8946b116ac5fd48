"""The operating-system account that runs PostgreSQL servers.

PostgreSQL refuses to run as root. When this process is root, server processes run as another user, and that user
must really be able to reach the binaries and the data: whether it can is asked, not guessed, because a checkout
below a home directory with mode 0700 looks fine to root.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from lc2_backup_dagster.model.errors import ConfigurationError, StorageFull

_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """A user with an entry in the password database.

    Attributes:
        name: login name.
        uid: user id, never 0.
        gid: primary group id.
    """

    name: str
    uid: int
    gid: int


def server_account() -> Account | None:
    """Return the account for server processes, or None when this process is not root and may run them itself.

    Raises:
        ConfigurationError: root, and no usable account exists.
    """
    if os.geteuid() != 0:
        return None
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise ConfigurationError(
        "PostgreSQL does not run as root and there is no user 'postgres' or 'nobody' to run it",
        hint="run as a normal user, or create the user with: useradd --system postgres",
    )


def account_owning(path: Path) -> Account | None:
    """Return the account that owns a path, or None when that is this process's own user and not root.

    Raises:
        ConfigurationError: the path belongs to root, or to a user without an entry.
    """
    uid = path.stat().st_uid
    if uid == os.geteuid() and uid != 0:
        return None
    try:
        entry = pwd.getpwuid(uid)
    except KeyError as error:
        raise ConfigurationError(
            f"{path} belongs to user id {uid}, which has no passwd entry", hint="chown it to the user of PostgreSQL"
        ) from error
    if uid == 0:
        raise ConfigurationError(f"{path} belongs to root", hint="chown it to the user that shall run PostgreSQL")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


class RunAs(TypedDict, total=False):
    """Keyword arguments of ``subprocess`` that switch to a user; ``extra_groups`` drops root's."""

    user: int
    group: int
    extra_groups: list[int]


def run_as(account: Account | None) -> RunAs:
    """Return the keyword arguments of ``subprocess`` that switch to the account (none when it is None)."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def give_to(account: Account | None, path: Path | int) -> None:
    """Make the account own a path or an open file; nothing when it is None."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def can_execute(account: Account | None, binary: Path) -> bool:
    """Say whether the account can really start a program, by starting it with ``--version``."""
    try:
        answer = subprocess.run(
            [str(binary), "--version"], cwd="/", capture_output=True, timeout=30, check=False, **run_as(account)
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return answer.returncode == 0


def can_enter(account: Account | None, directory: Path) -> bool:
    """Say whether the account can really enter a directory, by asking as that account."""
    answer = subprocess.run(
        ["/bin/sh", "-c", 'test -x "$1" && cd "$1"', "sh", str(directory)],
        cwd="/",
        capture_output=True,
        check=False,
        **run_as(account),
    )
    return answer.returncode == 0


def reachable_directory(preferred: Path, account: Account | None) -> Path:
    """Return a directory that the account can enter and owns, with mode 0700.

    Args:
        preferred: used (and created) when the account can reach it.
        account: who must reach it.

    Raises:
        ConfigurationError: neither the preferred place nor any temporary place can be reached.
    """
    preferred.mkdir(parents=True, exist_ok=True)
    # The parent decides: our own directory is given away below.
    if can_enter(account, preferred.parent):
        preferred.chmod(0o700)
        give_to(account, preferred)
        return preferred
    for place in dict.fromkeys(["/var/tmp", tempfile.gettempdir(), "/tmp"]):  # noqa: S108 - only through mkdtemp
        if Path(place).is_dir() and can_enter(account, Path(place)):
            made = Path(tempfile.mkdtemp(prefix="lc2-postgres-", dir=place))
            give_to(account, made)
            return made
    name = account.name if account else "this user"
    raise ConfigurationError(
        f"user '{name}' can enter neither {preferred.parent} nor a temporary directory",
        hint="set TMPDIR to a directory that every user can enter",
    )


def reachable_binaries(bin_directory: Path, account: Account | None, *, copy_to: Path) -> Path:
    """Return a directory with the same programs that the account can run, a copy below ``copy_to`` when it must be.

    Raises:
        ConfigurationError: the programs do not run, not even as a copy.
        StorageFull: no room for the copy.
    """
    if can_execute(account, bin_directory / "postgres"):
        return bin_directory
    installation = bin_directory.resolve().parent
    copy = copy_to / f"binaries-{installation.name}"
    if not copy.exists():
        partial = copy.with_name(copy.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            shutil.copytree(installation, partial, symlinks=True)
        except (OSError, shutil.Error) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise StorageFull(f"cannot copy the PostgreSQL programs to {copy_to}: {error}") from error
        partial.chmod(0o755)
        partial.rename(copy)
    if not can_execute(account, copy / bin_directory.name / "postgres"):
        raise ConfigurationError(
            f"the programs in {bin_directory} do not run",
            hint="check that they are of this machine's architecture and that the file system is not mounted noexec",
        )
    return copy / bin_directory.name
