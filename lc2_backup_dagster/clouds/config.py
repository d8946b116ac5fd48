"""What all configurations of stores have in common; each cloud's own model lies in its folder."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from lc2_backup_dagster.model.errors import ConfigurationError


class StoreSettings(BaseModel):
    """Strict, frozen, camel-case in files, no unknown fields; secrets only as names of environment variables."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


def from_environment(environment: Mapping[str, str], name: str, *, field: str) -> str:
    """Return the value of an environment variable that a field names.

    Args:
        environment: the variables.
        name: name of the variable.
        field: the field that names it, for the message.

    Raises:
        ConfigurationError: the variable is missing or empty.
    """
    value = environment.get(name, "")
    if not value:
        raise ConfigurationError(
            f"environment variable '{name}', named by '{field}', is not set",
            hint="set it where the service runs, or name another one",
            variable=name,
        )
    return value
