"""Words what pydantic refused in a site file: field, line, what stands there, what is allowed."""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from lc2_backup_dagster.sites.fields import describe, kinds_of, known_fields
from lc2_backup_dagster.sites.problem import SiteProblem, field_path
from lc2_backup_dagster.sites.yaml_tree import PLACES, Location, YamlTree

_SHOWN_CHARACTERS = 60

_KINDS_OF_VALUES = {
    "string_type": "text (put it in quotes)",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of sensible size",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "path_type": "an absolute path",
    "tuple_type": "a list: items that begin with '- '",
    "list_type": "a list: items that begin with '- '",
    "dict_type": "a mapping: indented lines 'field: value'",
    "model_type": "a mapping: indented lines 'field: value'",
    "model_attributes_type": "a mapping: indented lines 'field: value'",
}


def problems_of(error: ValidationError, *, tree: YamlTree) -> list[SiteProblem]:
    """Turn a validation error into problems, in the order of their lines; each place is complained of once.

    Args:
        error: what pydantic found.
        tree: the file, with its places and the problems that are known already.
    """
    problems: dict[tuple[str, str], SiteProblem] = {}
    for one in error.errors(include_url=False, include_input=False):
        problem = _problem(one, tree)
        if problem.field not in tree.refused:
            problems.setdefault((problem.field, problem.reason), problem)
    return sorted(problems.values(), key=lambda problem: (problem.line or 0, problem.column or 0))


def _problem(error: Mapping[str, Any], tree: YamlTree) -> SiteProblem:
    raw: Location = error["loc"]
    context: Mapping[str, Any] = error.get("ctx", {})
    kind = error["type"]
    location = _in_file(raw, tree)
    given = _given(location, tree)
    if kind == "site_file":
        if "field" in context:
            location, given = (*location, *str(context["field"]).split(".")), ""
        reason, allowed = str(context["reason"]), str(context["allowed"])
    elif kind == "missing":
        meaning = describe(raw)
        reason, allowed = f"is missing: {meaning}" if meaning else "is missing", ""
    elif kind == "extra_forbidden":
        given = ""
        reason, allowed = "is not a field here", _nearest(str(raw[-1]), known_fields(raw[:-1]))
    elif kind in ("union_tag_not_found", "union_tag_invalid"):
        location = (*location, "kind")
        given = _given(location, tree)
        reason = "is missing" if kind == "union_tag_not_found" else "is not a kind known here"
        allowed = " or ".join(kinds_of(raw))
    else:
        reason, allowed = _value(error, context, given or _shape(location, tree))
    line, column = tree.place(location)
    return SiteProblem(tree.file, line, column, field_path(location), given, reason, allowed)


def _value(error: Mapping[str, Any], context: Mapping[str, Any], given: str) -> tuple[str, str]:
    """Word a wrong value: its reason and what is allowed."""
    kind = error["type"]
    if kind in _KINDS_OF_VALUES:
        reason = "is not allowed here" if given else "stands here empty"
        return reason, _KINDS_OF_VALUES[kind]
    if kind in ("literal_error", "enum"):
        return "is not allowed here", str(context["expected"]).replace("'", "")
    bounds = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    for bound, words in bounds.items():
        if bound in context:
            return "is out of range", f"{words} {context[bound]}"
    message = str(error["msg"])
    return f"is refused: {message.removeprefix('Value error, ')}", ""


def _in_file(raw: Location, tree: YamlTree) -> Location:
    """Drop the steps that pydantic adds for the chosen kind of a union; the last step may be a missing field."""
    found: Location = ()
    for index, step in enumerate(raw):
        if step in kinds_of(raw[:index]):  # a field may have the name of a kind
            continue
        if (*found, step) in tree.places or index == len(raw) - 1:
            found = (*found, step)
    return found


def _given(location: Location, tree: YamlTree) -> str:
    """Return the text that stands at a location, unless it may be a secret or the file has none there."""
    text = tree.texts.get(location)
    steps = [step for step in location if isinstance(step, str)]
    if not text or not steps or steps[-1].lower().endswith("env") or "encryption" in steps:
        return ""
    if "://" in text and "?" in text:
        return ""  # an address may hold a token
    shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
    return repr(shown)


def _shape(location: Location, tree: YamlTree) -> str:
    """Tell an empty value from one that is not shown."""
    is_container = any(place[: len(location)] == location and len(place) > len(location) for place in tree.places)
    return "something" if is_container or tree.texts.get(location) else ""


def _nearest(name: str, allowed: list[str]) -> str:
    """List what is allowed instead of an unknown field, the likeliest first."""

    def plain(text: str) -> str:
        return text.replace("_", "").replace("-", "").lower()

    by_plain = {plain(one): one for one in allowed}
    close = difflib.get_close_matches(plain(name), by_plain, n=1, cutoff=0.6)
    listed = ", ".join(allowed)
    if name == "env":
        return f"{listed} ({{env: NAME}} is understood only in {', '.join(sorted(PLACES))})"
    return f"{listed}; did you mean {by_plain[close[0]]}?" if close else listed
