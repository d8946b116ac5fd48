"""YAML as Drupal 10 writes and reads it: the dialect of ``symfony/yaml`` 6.4 with two spaces, never inline.

No library writes it: PyYAML and ruamel.yaml set dashes, quotes and empty mappings in other ways, and a difference in
quotes would show as a change of configuration. So the writer follows ``Dumper``, ``Inline`` and ``Escaper`` of Symfony
rule by rule; the reader is PyYAML's, with Symfony's view of what a plain scalar is (``yes`` and ``2024-01-01`` are
texts).
"""

import base64
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, cast

import yaml

from lc2_backup_dagster.demo.seed.php_values import PhpValue, array_key

_INDENT = 2
_NUMERIC = re.compile(r" *[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)? *", re.ASCII)
_BINARY = re.compile(r"[\x01-\x06\x0e-\x1a\x1c-\x1f]")
_DOUBLE = re.compile("[\x00-\x1f\x7f\x85\xa0\u2028\u2029]")
_SINGLE = re.compile(r"""[\s'":{}\[\],&*#?]|\A[-?|<>=!%@`\u1680\u2000-\u200a\u202f\u205f\u3000]""")
_WORDS = frozenset({"null", "~", "true", "false", "y", "n", "yes", "no", "on", "off"})
_LIKE_NUMBERS = re.compile(r"[0-9]+[_0-9]*|0[xX][0-9a-fA-F_]+|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}")
_ESCAPES = {
    **{chr(code): f"\\x{code:02x}" for code in (*range(32), 127)},
    "\\": "\\\\", '"': '\\"', "\0": "\\0", "\a": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v",
    "\f": "\\f", "\r": "\\r", "\x1b": "\\e", "\x85": "\\N", "\xa0": "\\_", "\u2028": "\\L", "\u2029": "\\P",
}  # fmt: skip


def dump(value: PhpValue) -> bytes:
    """Return a configuration object as YAML."""
    return _block(value, 0).encode()


def load(content: bytes) -> PhpValue:
    """Return what a document holds, mappings in its order.

    Raises:
        ValueError: it is not YAML, holds several documents, aliases of themselves or a key twice; the message holds the
            place and not the content.
    """
    try:
        return cast("PhpValue", yaml.load(content, Loader=_Loader))  # noqa: S506  a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark is not None else ""
        raise ValueError(f"{getattr(error, 'problem', None) or 'it is no YAML'}{place}") from error


def _block(value: PhpValue, indent: int) -> str:
    items = _items(value)
    if not items:
        return " " * indent + _inline(value)
    prefix, text = " " * indent, ""
    for label, item in items:
        if text and text[-1] != "\n":
            text += "\n"
        if isinstance(item, str) and "\n" in item and "\r" not in item:
            text += f"{prefix}{label} {_literal(item, prefix)}"
        elif _items(item):
            text += f"{prefix}{label}\n{_block(item, indent + _INDENT)}"
        else:
            text += f"{prefix}{label} {_inline(item)}\n"
    return text


def _items(value: PhpValue) -> list[tuple[str, PhpValue]]:
    """Return the labelled items of an array that is written over several lines; none for everything else."""
    if isinstance(value, Mapping):
        keys = [array_key(key) for key in value]
        if keys != list(range(len(keys))):
            return [(f"{_inline(key)}:", item) for key, item in zip(keys, value.values(), strict=True)]
        return [("-", item) for item in value.values()]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [("-", item) for item in value]
    return []


def _literal(text: str, prefix: str) -> str:
    rows = text.split("\n")
    first = next((row for row in rows if row.strip(" ")), "")
    indicator = str(_INDENT) if first.startswith(" ") else ""
    chomping = "+" if text.endswith("\n\n") else "" if text.endswith("\n") else "-"
    return f"|{indicator}{chomping}" + "".join(f"\n{prefix}{' ' * _INDENT}{row}" if row else "\n" for row in rows)


def _inline(value: PhpValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            text = f"{value:.14G}"
            return f"{text}.0" if value.is_integer() and "E" not in text else text
        case str():
            return _text(value)
        case _:
            return "{  }"


def _text(text: str) -> str:
    if not text or (_NUMERIC.fullmatch(text) and not set(text) & set("\f\n\r\t\v")):
        return f"'{text}'"
    if _BINARY.search(text):
        return f"!!binary {base64.b64encode(text.encode()).decode()}"
    if _DOUBLE.search(text):
        return '"' + "".join(_ESCAPES.get(character, character) for character in text) + '"'
    if text.lower() in _WORDS or _SINGLE.search(text) or _LIKE_NUMBERS.fullmatch(text):
        return "'" + text.replace("'", "''") + "'"
    return text


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with Symfony's scalars and PHP's keys."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  PyYAML's own name and form

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        made: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(problem="a key is no scalar", problem_mark=key_node.start_mark)
            key = array_key(key_node.value)
            if key in made:
                raise yaml.constructor.ConstructorError(problem="a key stands twice", problem_mark=key_node.start_mark)
            made[key] = self.construct_object(value_node, deep=deep)  # pyright: ignore[reportUnknownMemberType]
        return made

    def construct_text_of_binary(self, node: yaml.ScalarNode) -> str:
        return self.construct_yaml_binary(node).decode()


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:null|Null|NULL|~|)$"), ["n", "N", "~", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?i:true|false)$"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$|[-+]?\.(?i:inf)$|\.(?i:nan)$"),
    list("-+.0123456789"),
)
_Loader.add_constructor("tag:yaml.org,2002:binary", _Loader.construct_text_of_binary)
