"""The list of applications: one line each. Whoever needs one asks here by its kind.

A kind is the name of a folder beside this file; its module ``application`` holds ``APPLICATION``. An application whose
configuration comes through an API of its own has a second line: the kind of its settings.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from lc2_backup_dagster.applications.bloomreach.config import BloomreachApi, open_bloomreach
from lc2_backup_dagster.engines.exports.ports import ExportSource
from lc2_backup_dagster.engines.exports.stored import StoredExport
from lc2_backup_dagster.model.application import Application
from lc2_backup_dagster.model.errors import ConfigurationError

_KINDS = (
    "bloomreach",
    "drupal",
    "liferay",
)

ConfigurationApi = BloomreachApi
"""Settings of an API that an application's configuration comes from, told apart by ``kind``; others join with ``|``."""
_OPENERS = MappingProxyType({BloomreachApi: open_bloomreach})


def _application(kind: str) -> Application:
    found = import_module(f"{__package__}.{kind}.application").APPLICATION
    if not isinstance(found, Application) or found.kind != kind:
        raise TypeError(f"applications/{kind}/application.py: APPLICATION is no application of kind {kind}")
    return found


APPLICATIONS: Mapping[str, Application] = MappingProxyType({kind: _application(kind) for kind in _KINDS})


def application_of(kind: str) -> Application:
    """Return the application of a kind.

    Raises:
        ConfigurationError: there is none; the hint lists those there are.
    """
    try:
        return APPLICATIONS[kind]
    except KeyError:
        raise ConfigurationError(
            f"'{kind}' is not an application this service knows", hint=f"one of {', '.join(sorted(APPLICATIONS))}"
        ) from None


def open_configuration_api(
    settings: ConfigurationApi, environment: Mapping[str, str], *, scratch: Path, before: StoredExport | None
) -> AbstractContextManager[ExportSource]:
    """Open an application's API as the source of an export.

    Args:
        settings: of the site file.
        environment: variables that hold the secrets which the settings name.
        scratch: folder for what must lie on disk for a while.
        before: the site's export before this one, or None.
    """
    return _OPENERS[type(settings)](settings, environment, scratch=scratch, before=before)
