"""The kinds of single values that a site file holds, each refused with what is allowed instead."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictInt
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.globs import glob_to_regex
from lc2_backup_dagster.model.site import NAME
from lc2_backup_dagster.sites.cron import CRON_ALLOWED, CronRefused, check_cron, is_time_zone, nearest_time_zones

NAME_ALLOWED = "1 to 63 lower-case letters, digits, '-' and '_', beginning and ending with a letter or digit"
NO_QUERY = "none"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OWNER = re.compile(r"team:[^\s:]+|[^\s@:]+@[^\s@:]+\.[^\s@:]+")
_TAG_KEY = re.compile(r"[A-Za-z0-9_.-]{1,63}", re.ASCII)


class Strict(BaseModel):
    """A mapping of a site file: unknown fields are refused, names are written in camelCase, nothing changes later."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        # A refused value may be a secret in the wrong place; the loader shows only what is safe to show.
        hide_input_in_errors=True,
    )


def refuse(reason: str, *, allowed: str) -> NoReturn:
    """Refuse a value from within a validator; the loader adds file, line, field and the value.

    Raises:
        PydanticCustomError: always.
    """
    raise PydanticCustomError("site_file", "{reason}; allowed: {allowed}", {"reason": reason, "allowed": allowed})


def _check_name(text: str) -> str:
    if not NAME.fullmatch(text):
        refuse("is not a usable name", allowed=NAME_ALLOWED)
    return text


def _check_slot(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]{1,63}", name):
        refuse("is not a name for a replication slot", allowed="1 to 63 lower-case letters, digits and '_'")
    return name


def _check_variable(text: str) -> str:
    if not _VARIABLE.fullmatch(text):
        refuse(
            "is not the name of an environment variable",
            allowed="letters, digits and '_', like RETAIL_DB_PASSWORD; the secret itself never stands in a site file",
        )
    return text


def _check_absolute(path: Path) -> Path:
    if not path.is_absolute() or "\0" in str(path):
        refuse("is not an absolute path", allowed="a path that begins with /")
    return path


def _check_prefix(text: str) -> str:
    if text and (text.startswith("/") or not text.endswith("/") or "//" in text or "\0" in text):
        refuse("is not a prefix", allowed="nothing, or folders that end with a slash and do not begin with one: a/b/")
    if {".", ".."} & set(text.split("/")):
        refuse("is not a prefix", allowed="folders other than '.' and '..'")
    return text


def _check_glob(text: str) -> str:
    try:
        glob_to_regex(text)
    except ConfigurationError as error:
        refuse(error.message, allowed=error.hint or "a glob")
    return text


def _check_cron(text: str) -> str:
    try:
        return check_cron(text)
    except CronRefused as error:
        refuse(f"is not a cron expression: it {error}", allowed=CRON_ALLOWED)


def _check_zone(name: str) -> str:
    if not is_time_zone(name):
        nearest = nearest_time_zones(name)
        meant = f"; did you mean {' or '.join(nearest)}?" if nearest else ""
        refuse("is not a time zone", allowed=f"a name of the IANA database, like UTC or Europe/Berlin{meant}")
    return name


def _check_owner(text: str) -> str:
    if not _OWNER.fullmatch(text):
        refuse("is not an owner", allowed="an e-mail address, or team: and a team's name")
    return text


def _check_tags(tags: dict[str, str]) -> dict[str, str]:
    for key, value in tags.items():
        if not _TAG_KEY.fullmatch(key) or not re.fullmatch(r"[A-Za-z0-9_.-]{0,63}", value, re.ASCII):
            refuse(f"has the tag '{key}'", allowed="keys and values of up to 63 letters, digits, '_', '-' and '.'")
    return tags


def _check_text(text: str) -> str:
    if not text.strip() or "\0" in text or "\n" in text:
        refuse("is empty or has control characters", allowed="one line of text")
    return text


def _check_query(text: str) -> str:
    if text != NO_QUERY and not re.match(r"\s*(?:select|with)\b", text, re.IGNORECASE):
        refuse("is no query", allowed=f"one SELECT, or {NO_QUERY}")
    if "\0" in text:
        refuse("has control characters", allowed="one SELECT")
    return text


def _refuse_bool(given: Any) -> Any:
    if isinstance(given, bool):
        refuse("is not a number", allowed="a port from 1 to 65535")
    return given


Name = Annotated[str, AfterValidator(_check_name)]
Query = Annotated[str, AfterValidator(_check_query)]
Text = Annotated[str, AfterValidator(_check_text)]
Variable = Annotated[str, AfterValidator(_check_variable)]
AbsolutePath = Annotated[Path, AfterValidator(_check_absolute)]
Prefix = Annotated[str, AfterValidator(_check_prefix)]
Glob = Annotated[str, AfterValidator(_check_glob)]
SlotName = Annotated[str, AfterValidator(_check_slot)]
Cron = Annotated[str, AfterValidator(_check_cron)]
Zone = Annotated[str, AfterValidator(_check_zone)]
Owner = Annotated[str, AfterValidator(_check_owner)]
Tags = Annotated[dict[str, str], AfterValidator(_check_tags)]
# Lax: a port often comes as text out of an environment variable.
Port = Annotated[int, Field(ge=1, le=65535), BeforeValidator(_refuse_bool)]
SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
Count = Annotated[StrictInt, Field(ge=0)]
Positive = Annotated[StrictInt, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1, strict=True, allow_inf_nan=False)]
