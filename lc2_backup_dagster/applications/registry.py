"""The list of applications: one line each. Whoever needs one asks here by its kind."""

from collections.abc import Mapping
from types import MappingProxyType

from lc2_backup_dagster.applications.bloomreach.application import BloomreachApplication
from lc2_backup_dagster.applications.drupal.application import DrupalApplication
from lc2_backup_dagster.applications.liferay.application import LiferayApplication
from lc2_backup_dagster.model.application import Application
from lc2_backup_dagster.model.errors import ConfigurationError

_ALL: tuple[Application, ...] = (BloomreachApplication(), DrupalApplication(), LiferayApplication())

APPLICATIONS: Mapping[str, Application] = MappingProxyType({application.kind: application for application in _ALL})


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
