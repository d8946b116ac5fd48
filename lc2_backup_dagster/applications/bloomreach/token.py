"""The API token, always by reference: read when it is needed, and again when the API says that it has expired.

It never appears in a representation, a message or a log.
"""

import string
from collections.abc import Callable, Mapping
from pathlib import Path

from lc2_backup_dagster.model.errors import AccessDenied, ConfigurationError

TokenSource = Callable[[], str]
"""Reads the token from where it is kept."""

_ALLOWED = frozenset(string.ascii_letters + string.digits + string.punctuation)
_MAX_CHARACTERS = 8192


def token_from_variable(environment: Mapping[str, str], name: str) -> TokenSource:
    """Return a reader of an environment variable; a process that was started sees no later value of it."""
    return lambda: _checked(environment.get(name, ""), f"the environment variable {name}")


def token_from_file(path: Path) -> TokenSource:
    """Return a reader of a file, such as a mounted secret that is renewed from outside."""

    def read() -> str:
        try:
            return _checked(path.read_text(encoding="utf-8").strip(), str(path))
        except PermissionError as error:
            raise AccessDenied(f"the API token's file {path} may not be read") from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the API token cannot be read from {path}", hint="is it mounted?") from error

    return read


def _checked(token: str, place: str) -> str:
    if not token:
        raise ConfigurationError(f"{place} holds no API token", hint="set it where the service runs")
    # It goes into a header: a line feed in it would begin another one.
    if len(token) > _MAX_CHARACTERS or not _ALLOWED.issuperset(token):
        raise ConfigurationError(f"what {place} holds is no API token", hint="a single word of printable ASCII")
    return token
