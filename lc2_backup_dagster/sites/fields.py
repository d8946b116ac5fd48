"""Walks the schema of a site file: which fields there are, where, and what each of them takes.

Works on the JSON Schema that pydantic makes of the models, so that a cloud's own fields (``clouds/registry.py``)
appear by themselves.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from lc2_backup_dagster.sites.schema import SiteDefinition

Location = tuple[str | int, ...]
_Schema = Mapping[str, Any]
_NOTHING: _Schema = {}


@dataclass(frozen=True, slots=True)
class FieldLine:
    """One field as the reference shows it.

    Attributes:
        path: where it stands, ``[]`` for the items of a list; the fields of a store begin with its kind.
        takes: what it takes, in words.
        default: its default as YAML writes it; None when it must be given.
        description: what it is for.
    """

    path: str
    takes: str
    default: str | None
    description: str


@cache
def site_schema() -> _Schema:
    """Return the JSON Schema of a site file."""
    return SiteDefinition.model_json_schema(by_alias=True)


def known_fields(location: Location) -> list[str]:
    """Return the names of the fields that a mapping may have.

    Args:
        location: the mapping, as pydantic names it in errors (with the ``kind`` of a store as a step of its own).
    """
    schema = _schema_at(location)
    return sorted(schema.get("properties", {})) if schema else []


def kinds_of(location: Location) -> list[str]:
    """Return the values of ``kind`` among which the mapping at a location chooses; empty when it does not."""
    schema = _schema_at(location)
    return sorted(_variants(schema)) if schema else []


def describe(location: Location) -> str:
    """Return the description of a field, or nothing."""
    schema = _schema_at(location[:-1])
    if not schema or not location:
        return ""
    found: _Schema = schema.get("properties", {}).get(location[-1], _NOTHING)
    return _description(found, _resolved(found)) if found else ""


def reference() -> Iterator[FieldLine]:
    """Yield every field of a site file, from the top down, without the fields of stores."""
    yield from _lines(site_schema(), "")


def stores_reference() -> Iterator[FieldLine]:
    """Yield the fields of each kind of store, which are the same wherever a store stands."""
    yield from _kinds_reference(("destination", "store"))


def configuration_reference() -> Iterator[FieldLine]:
    """Yield the fields of each kind of source that a configuration comes from."""
    yield from _kinds_reference(("configuration", "source"))


def _kinds_reference(location: Location) -> Iterator[FieldLine]:
    choice = _schema_at(location)
    for kind, variant in sorted(_variants(choice).items()) if choice else ():
        for line in _lines(variant, f"{kind}: "):
            is_kind = line.path.endswith(": kind")
            yield replace(line, description=_description(variant, {})) if is_kind else line


def runners_reference() -> Iterator[FieldLine]:
    """Yield the fields of what runs a hook, by its kind."""
    yield from _kinds_reference(("hooks", 0, "runner"))


def cdn_reference() -> Iterator[FieldLine]:
    """Yield the fields of each way to tell a CDN."""
    yield from _kinds_reference(("restore", "files", "cdn"))


def markdown_table(lines: Iterable[FieldLine]) -> str:
    """Render fields as a Markdown table, the way ``docs/site-file.md`` shows them."""
    rows = ["| field | takes | default | what it is for |", "|---|---|---|---|"]
    for line in lines:
        default = "**required**" if line.default is None else line.default
        rows.append(f"| `{line.path}` | {line.takes} | {default} | {line.description.replace('``', '`')} |")
    return "\n".join(rows)


def _resolved(schema: _Schema) -> _Schema:
    """Follow a reference, and look through "or nothing"."""
    while True:
        if "$ref" in schema:
            schema = site_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
            continue
        real = [one for one in schema.get("anyOf", []) if one.get("type") != "null"]
        if len(real) == 1:
            schema = real[0]
            continue
        return schema


def _variants(schema: _Schema) -> dict[str, _Schema]:
    mapping = schema.get("discriminator", {}).get("mapping", {})
    return {kind: _resolved({"$ref": reference}) for kind, reference in mapping.items()}


def _schema_at(location: Location) -> _Schema | None:
    schema = _resolved(site_schema())
    for step in location:
        if step in schema.get("properties", {}):
            found: _Schema | None = schema["properties"][step]
        elif isinstance(step, int):
            found = schema.get("items")
        else:
            found = _variants(schema).get(step)
        if not found:
            return None
        schema = _resolved(found)
    return schema


def _lines(schema: _Schema, above: str) -> Iterator[FieldLine]:
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        path = f"{above}{name}"
        real = _resolved(field)
        yield FieldLine(path, _takes(field, real), _default(field, name, required), _description(field, real))
        items: _Schema = _resolved(real.get("items", _NOTHING))
        if "properties" in real:
            yield from _lines(real, f"{path}.")
        elif "properties" in items:
            yield from _lines(items, f"{path}[].")


def _description(field: _Schema, real: _Schema) -> str:
    return " ".join(str(field.get("description") or real.get("description", "")).split())


def _default(field: _Schema, name: str, required: set[str]) -> str | None:
    if name in required:
        return None
    value = field.get("default")
    if value is None:
        return "—"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, dict) and list(value) == ["kind"]:
        return f"`{{kind: {value['kind']}}}`"
    if isinstance(value, dict):
        return "as below" if value else "`{}`"
    return "`''`" if value == "" else f"`{value}`"


def _takes(field: _Schema, real: _Schema) -> str:
    if variants := _variants(real):
        if "hooks" in variants:
            return "a source, see [Configuration](#configuration)"
        if "command" in variants:
            return "how a CDN is told, see [After a restore](#after-a-restore)"
        if "job" in variants:
            return "what runs a hook, see [Hooks](#hooks)"
        return "a store, see [Stores](#stores)"
    merged = {**real, **{key: field[key] for key in ("enum", "const") if key in field}}
    if "const" in merged:
        return f"`{merged['const']}`"
    if "enum" in merged:
        return " or ".join(f"`{value}`" for value in merged["enum"])
    kind = merged.get("type")
    if kind == "array":
        return "list" if "properties" in _resolved(merged["items"]) else "list of text"
    if kind in ("integer", "number"):
        return _range("whole number" if kind == "integer" else "number", merged)
    words = {"boolean": "`true` or `false`", "string": "text"}
    if merged.get("format") == "path":
        return "absolute path"
    if kind == "object":
        return "mapping" if "properties" in merged else "mapping of text to text"
    return words.get(str(kind), "text")


def _range(word: str, schema: _Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    if above is not None:
        return f"{word} above {above:g}" + (f" up to {high:g}" if high is not None else "")
    if low is not None and high is not None:
        return f"{word}, {low} to {high}"
    return f"{word}, at least {low}" if low is not None else word
