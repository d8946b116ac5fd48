"""YAML documents: whether they can be read at all, and their content as a tree, without ever building objects of it.

Only syntax is looked at: tags of an application (``!php/const``) are as good as any, and an alias is never multiplied,
so a document of a few lines cannot take all memory.
"""

import json
from typing import Any

MAX_NODES = 200_000


def check_yaml(content: bytes) -> None:
    """Make sure that a document is YAML.

    Raises:
        ValueError: it is not; the message holds the place, never the content.
    """
    import yaml

    try:
        for _ in yaml.parse(content, Loader=_loader()):
            pass
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not YAML{_place(error)}") from error


def yaml_tree(content: bytes) -> object:
    """Return a document as mappings, lists and texts; a text is the scalar as it would be written, with its type.

    Raises:
        ValueError: not YAML, several documents, or unreasonably large once aliases are followed.
    """
    import yaml

    try:
        node: Any = yaml.compose(content, Loader=_loader())
        return None if node is None else _Tree().of(node)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not YAML{_place(error)}") from error


class YamlScalar(str):
    """A scalar in the words of the document; a text that could be taken for something else is quoted."""

    __slots__ = ()


class _Tree:
    """Turns nodes into plain values, and gives up on what grows out of hand."""

    def __init__(self) -> None:
        import yaml

        self._nodes = 0
        self._mapping, self._sequence, self._scalar = yaml.MappingNode, yaml.SequenceNode, yaml.ScalarNode

    def of(self, node: Any) -> object:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ValueError(f"more than {MAX_NODES} values")
        if isinstance(node, self._mapping):
            return {self._name(key): self.of(value) for key, value in node.value}
        if isinstance(node, self._sequence):
            return [self.of(item) for item in node.value]
        if node.tag == "tag:yaml.org,2002:str":
            return YamlScalar(json.dumps(node.value, ensure_ascii=False))
        return YamlScalar(node.value or "null")

    def _name(self, node: Any) -> str:
        if not isinstance(node, self._scalar):
            raise ValueError("a mapping has a name that is no scalar")
        return str(node.value)


def _loader() -> Any:
    import yaml

    # Written in C where the wheel has it; a configuration of thousands of files takes seconds instead of minutes.
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _place(error: BaseException) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    told = f": {problem}" if problem else ""
    return f"{told} at line {mark.line + 1} column {mark.column + 1}" if mark is not None else told
