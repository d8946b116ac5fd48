"""JSON as people read and compare it: one form for one value, so that unchanged content is byte-equal between days.

Names sorted by code points, two spaces of indent, UTF-8, a line feed at the end. Numbers keep the text they were
written with: a number with more digits than a double has must not lose them in a backup. The terse form that manifests
are hashed in is another one, ``repository.canonical``.
"""

import json
from collections.abc import Iterator, Mapping
from json.encoder import encode_basestring
from typing import NoReturn, cast

_INDENT = "  "


class JsonNumber(str):
    """A number as it stood in the text it was read from."""

    __slots__ = ()


def parse_json(content: bytes | str) -> object:
    """Read JSON, keeping numbers as ``JsonNumber``.

    Raises:
        ValueError: not UTF-8, not JSON, nested too deeply, a name twice in one object, or a number that JSON does not
            have. The message holds the place, never the content.
    """
    try:
        text = content.decode() if isinstance(content, bytes) else content
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    try:
        return json.loads(
            text,
            parse_int=JsonNumber,
            parse_float=JsonNumber,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def canonical_json(value: object) -> bytes:
    """Write a JSON value in canonical form.

    Raises:
        ValueError: the value is none of JSON's, or nested too deeply.
    """
    try:
        text = "".join(_pieces(value, "\n"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    # A lone surrogate has no UTF-8; what the handler writes for it is the escape that JSON has.
    return (text + "\n").encode("utf-8", "backslashreplace")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same name twice")
    return found


def _pieces(value: object, line: str) -> Iterator[str]:
    """Yield the text of a value; ``line`` is a line feed and the indent of the line the value stands on."""
    if isinstance(value, Mapping):
        yield from _object_pieces(cast(Mapping[object, object], value), line)
    elif isinstance(value, list | tuple):
        yield from _list_pieces(cast(list[object], value), line)
    else:
        yield _scalar(value)


def _scalar(value: object) -> str:
    if isinstance(value, JsonNumber):
        return value
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value, allow_nan=False)
    raise ValueError(f"a {type(value).__name__} is no JSON")


def _object_pieces(value: Mapping[object, object], line: str) -> Iterator[str]:
    if not value:
        yield "{}"
        return
    deeper = line + _INDENT
    separator = "{"
    for name in sorted(_names(value)):
        yield f"{separator}{deeper}{encode_basestring(name)}: "
        yield from _pieces(value[name], deeper)
        separator = ","
    yield f"{line}}}"


def _names(value: Mapping[object, object]) -> list[str]:
    names: list[str] = []
    for name in value:
        if not isinstance(name, str):
            raise ValueError(f"an object has a name that is a {type(name).__name__}")
        names.append(name)
    return names


def _list_pieces(value: list[object], line: str) -> Iterator[str]:
    if not value:
        yield "[]"
        return
    deeper = line + _INDENT
    separator = "["
    for each in value:
        yield f"{separator}{deeper}"
        yield from _pieces(each, deeper)
        separator = ","
    yield f"{line}]"
