"""Reads the text of one site file into plain values, and remembers where each of them stands.

Stricter than YAML, because a site file needs little of it: one document, no anchors or aliases, no tags, no duplicate
keys. Only ``true``, ``false`` and their YAML 1.1 kin, plain decimal numbers and nothing (``null``) are more than text:
dates, ``0644`` and ``22:30`` stay as they are written.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from lc2_backup_dagster.sites.problem import SiteProblem, field_path

Location = tuple[str | int, ...]

MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 32
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?[0-9]{1,17}\.[0-9]{1,17}")
_TRUE = frozenset({"true", "yes", "on"})
_STANDARD = "tag:yaml.org,2002:"
_KINDS = frozenset({"map", "seq", "str", "null", "bool", "int", "float", "timestamp", "value", "merge"})
_SECRET = re.compile(
    r"(?:password|passwd|pwd|passphrase|secret|secretkey|token|accesskey|accesskeyid|apikey|privatekey|accountkey"
    r"|connectionstring)$"
)
_USER_IN_ADDRESS = re.compile(r"://\S*@")

# Fields that say *where* something is; only these may be left to the environment (secrets have their own ``…Env``).
PLACES = frozenset(
    {
        "endpoint",
        "baseUrl",
        "host",
        "port",
        "path",
        "bucket",
        "region",
        "caFile",
        "toolsDirectory",
        "scratchDirectory",
        "artifactPath",
    }
)


@dataclass(slots=True)
class YamlTree:
    """The plain value of a file and the places of its parts.

    Attributes:
        file: the file.
        value: nested dicts, lists and scalars.
        places: line and column of every key and item by location, each from 1.
        texts: how each scalar is written in the file.
        problems: what is wrong with the YAML itself.
        refused: paths of the fields whose values were refused; nothing more need be said of them.
    """

    file: Path
    value: object = None
    places: dict[Location, tuple[int, int]] = field(default_factory=dict[Location, tuple[int, int]])
    texts: dict[Location, str] = field(default_factory=dict[Location, str])
    problems: list[SiteProblem] = field(default_factory=list[SiteProblem])
    refused: set[str] = field(default_factory=set[str])

    def place(self, location: Location) -> tuple[int, int]:
        """Return line and column of a location, or of the nearest one around it that the file has."""
        while location and location not in self.places:
            location = location[:-1]
        return self.places.get(location, (1, 1))

    def refuse(self, location: Location, reason: str, *, allowed: str = "", given: str = "") -> None:
        """Note a problem at a location."""
        line, column = self.place(location)
        path = field_path(location)
        self.refused.add(path)
        self.problems.append(SiteProblem(self.file, line, column, path, given, reason, allowed))


def read_tree(content: bytes, *, file: Path, environment: Mapping[str, str]) -> YamlTree:
    """Read a site file's content; what is wrong with it lies in the tree's ``problems``.

    ``{env: NAME}`` in one of the ``PLACES`` becomes the value of that variable, as text.

    Args:
        content: the whole file.
        file: its name, for problems.
        environment: the variables.
    """
    tree = YamlTree(file=file, places={(): (1, 1)})
    if len(content) > MAX_BYTES:
        tree.refuse((), "is too large for a site file", allowed=f"at most {MAX_BYTES} bytes")
        return tree
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        tree.problems.append(SiteProblem(file, line, column, "", "", "is not UTF-8 text here", "text in UTF-8"))
        return tree
    root = _compose(text, tree)
    if tree.problems:
        return tree
    if root is None:
        tree.refuse((), "is empty", allowed="a site definition, beginning with apiVersion and kind")
    elif not isinstance(root, yaml.MappingNode):
        tree.refuse((), f"holds {_kind(root)} at its top", allowed="a mapping, beginning with apiVersion and kind")
    else:
        tree.value = _Reader(tree, environment).value(root, ())
    return tree


class _Mark(Protocol):
    """A place as PyYAML has it, counted from 0."""

    line: int
    column: int


def _compose(text: str, tree: YamlTree) -> yaml.Node | None:
    """Return the node tree; the fast loader reads what is right, the slow one says better what is wrong."""
    if yaml.__with_libyaml__:
        try:
            return _nodes(text, tree, yaml.CSafeLoader)
        except yaml.YAMLError:
            pass
    try:
        return _nodes(text, tree, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason, allowed = _syntax(error)
        _refuse_mark(tree, mark, reason, allowed)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = SiteProblem(tree.file, line, 1, "", "", "has a character that YAML does not allow", "printable text")
        tree.problems.append(problem)
    return None


def _nodes(text: str, tree: YamlTree, loader: Any) -> yaml.Node | None:
    """Compose the nodes, after a first pass over the events that nesting and aliases cannot blow up."""
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            _refuse_mark(tree, event.start_mark, "uses an anchor or alias (& or *)", "values written out")
            return None
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            _refuse_mark(tree, event.start_mark, "is nested too deeply", f"{_MAX_DEPTH} levels")
            return None
    return yaml.compose(text, Loader=loader)


def _syntax(error: yaml.MarkedYAMLError) -> tuple[str, str]:
    """Word a syntax error; PyYAML quotes names out of the file only in aliases and tags, which are left out."""
    problem = error.problem or "cannot be read"
    if "'\\t'" in problem:
        return "has a tab where YAML wants spaces", "spaces"
    if "but found another document" in problem:
        return "holds a second document", "one site per file"
    told = re.sub(r"\s*['\"][^'\"]{3,}['\"]", "", problem)
    return f"is not YAML: {told}" + (f" {error.context}" if error.context else ""), ""


def _refuse_mark(tree: YamlTree, mark: _Mark | None, reason: str, allowed: str) -> None:
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    tree.problems.append(SiteProblem(tree.file, line, column, "", "", reason, allowed))


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a single value"


class _Reader:
    """Turns nodes into plain values; the depth is bounded already."""

    def __init__(self, tree: YamlTree, environment: Mapping[str, str]) -> None:
        self._tree = tree
        self._environment = environment

    def value(self, node: yaml.Node, location: Location) -> object:
        """Return the plain value of a node and note its place."""
        self._tree.places.setdefault(location, (node.start_mark.line + 1, node.start_mark.column + 1))
        kind = str(node.tag).removeprefix(_STANDARD)
        if kind not in _KINDS:
            self._tree.refuse(location, "has a tag (!)", allowed="plain values")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*location, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)  # there are no other nodes
        return self._scalar(node, location)

    def _mapping(self, node: yaml.MappingNode, location: Location) -> object:
        found: dict[str, object] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == f"{_STANDARD}merge":
                self._tree.refuse(location, "has a key that is not a name", allowed="names of fields")
                continue
            key = str(key_node.value)
            inside = (*location, key)
            if key in lines:
                self._tree.problems.append(
                    SiteProblem(
                        file=self._tree.file,
                        line=line,
                        column=column,
                        field=field_path(inside),
                        given="",
                        reason=f"stands here a second time, first on line {lines[key]}",
                        allowed="every field once",
                    )
                )
                continue
            lines[key] = line
            self._tree.places[inside] = (line, column)
            if _SECRET.search(key.replace("_", "").replace("-", "").lower()):
                self._tree.refuse(
                    inside,
                    "is a secret in a file",
                    allowed=f"{key}Env (or the field of that kind) with the name of an environment variable",
                )
                continue
            found[key] = self.value(value_node, inside)
        if location and location[-1] in PLACES and set(found) == {"env"}:
            return self._from_environment(found["env"], location)
        return found

    def _from_environment(self, name: object, location: Location) -> object:
        value = self._environment.get(name, "") if isinstance(name, str) else ""
        if value:
            self._tree.texts[location] = value
            return value
        told = f"'{name}'" if isinstance(name, str) and re.fullmatch(r"\w{1,100}", name) else "it names"
        self._tree.refuse(
            location,
            f"asks for environment variable {told}, which is not set",
            allowed="the name of a variable that is set where the service runs, or the value itself",
        )
        return None

    def _scalar(self, node: yaml.ScalarNode, location: Location) -> object:
        text = str(node.value)
        self._tree.texts[location] = text
        if _USER_IN_ADDRESS.search(text):
            self._tree.refuse(location, "holds a user or password", allowed="an address without them, and …Env fields")
        if node.style:  # quoted, or a block of text; plain is None, or empty from the fast loader
            return text
        kind = str(node.tag).removeprefix(_STANDARD)
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in _TRUE
        if kind == "int" and _INTEGER.fullmatch(text):
            return int(text)
        if kind == "float" and _DECIMAL.fullmatch(text):
            return float(text)
        return text
