"""How two structured documents differ, key by key. Pure.

Documents are trees of mappings, lists and scalars. Items of a list are matched by their ``name`` (or ``id``, or
``uuid``) where each of them has one, else by their place: so a field that was put in front of others is one addition,
not a change of all that follow.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from lc2_backup_dagster.engines.exports.canonical_json import JsonNumber
from lc2_backup_dagster.engines.exports.comparing import ChangeKind
from lc2_backup_dagster.engines.exports.redaction import HIDDEN, is_secret_name, redacted
from lc2_backup_dagster.engines.exports.yaml_document import YamlScalar

_SHOWN_CHARACTERS = 200
# More than is shown, so that a secret that reaches beyond it is recognized as one.
_LOOKED_AT_CHARACTERS = 8192
_BARE_KEY = re.compile(r"[\w-]+")
_IDENTITIES = ("name", "id", "uuid")

_Tree = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A key that differs.

    Attributes:
        key: where it stands: ``fields[name=title].required``, ``dependencies["a.b"][0]``; with ``(order)`` behind a
            list whose items only stand in another order; empty for the whole document.
        kind: how it differs.
        old: the older value as text, shortened; hidden when it looks secret; None when the key was added.
        new: the newer value; None when the key was removed.
    """

    key: str
    kind: ChangeKind
    old: str | None
    new: str | None


def key_changes(old: object, new: object) -> Iterator[KeyChange]:
    """Yield every key that differs between two trees, in the order of the keys."""
    yield from _changes("", old, new, is_secret=False)


def _changes(key: str, old: object, new: object, *, is_secret: bool) -> Iterator[KeyChange]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        olds, news = cast(_Tree, old), cast(_Tree, new)
        hidden = is_secret or _names_a_secret(olds) or _names_a_secret(news)
        yield from _members(olds, news, sorted({*olds, *news}), path=lambda name: _child(key, name), is_secret=hidden)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _lists(key, cast(list[object], old), cast(list[object], new), is_secret=is_secret)
    elif type(old) is not type(new) or old != new:
        yield KeyChange(key, ChangeKind.CHANGED, _shown(old, is_secret), _shown(new, is_secret))


def _members(
    olds: _Tree, news: _Tree, names: Sequence[str], *, path: Callable[[str], str], is_secret: bool
) -> Iterator[KeyChange]:
    for name in names:
        hidden = is_secret or is_secret_name(name)
        if name not in olds:
            yield KeyChange(path(name), ChangeKind.ADDED, None, _shown(news[name], hidden))
        elif name not in news:
            yield KeyChange(path(name), ChangeKind.REMOVED, _shown(olds[name], hidden), None)
        else:
            yield from _changes(path(name), olds[name], news[name], is_secret=hidden)


def _lists(key: str, old: list[object], new: list[object], *, is_secret: bool) -> Iterator[KeyChange]:
    for identity in _IDENTITIES:
        olds, news = _by(identity, old), _by(identity, new)
        if olds is not None and news is not None:
            yield from _identified(key, olds, news, identity=identity, is_secret=is_secret)
            return
    places = [str(number) for number in range(max(len(old), len(new)))]
    yield from _members(
        dict(zip(places, old, strict=False)),
        dict(zip(places, new, strict=False)),
        places,
        path=lambda place: f"{key}[{place}]",
        is_secret=is_secret,
    )


def _identified(key: str, olds: _Tree, news: _Tree, *, identity: str, is_secret: bool) -> Iterator[KeyChange]:
    names = [*olds, *(name for name in news if name not in olds)]
    yield from _members(olds, news, names, path=lambda name: f"{key}[{identity}={name}]", is_secret=is_secret)
    before, after = [each for each in olds if each in news], [each for each in news if each in olds]
    if before != after:
        yield KeyChange(f"{key}(order)", ChangeKind.CHANGED, _short(", ".join(before)), _short(", ".join(after)))


def _by(identity: str, items: list[object]) -> dict[str, object] | None:
    """Return the items by their identity, or None when not each has one of its own."""
    found: dict[str, object] = {}
    for item in items:
        name = cast(_Tree, item).get(identity) if isinstance(item, Mapping) else None
        if not isinstance(name, str) or name in found:
            return None
        found[str(name)] = item
    return found


def _child(above: str, name: str) -> str:
    if _BARE_KEY.fullmatch(name):
        return f"{above}.{name}" if above else name
    return f"{above}[{json.dumps(name, ensure_ascii=False)}]"


def _names_a_secret(members: _Tree) -> bool:
    name = members.get("name")
    return isinstance(name, str) and is_secret_name(name)


def _shown(value: object, is_secret: bool) -> str:
    if is_secret:
        return HIDDEN
    text = ""
    for piece in _pieces(value):
        text += piece
        if len(text) > _LOOKED_AT_CHARACTERS:
            break
    return _short(redacted(text))


def _pieces(value: object) -> Iterator[str]:
    """Yield a value's text on one line, without what its own keys say is secret."""
    if isinstance(value, Mapping):
        members = cast(_Tree, value)
        hidden = _names_a_secret(members)
        yield "{"
        for number, (name, each) in enumerate(members.items()):
            yield f"{', ' if number else ''}{json.dumps(name, ensure_ascii=False)}: "
            if hidden or is_secret_name(name):
                yield HIDDEN
            else:
                yield from _pieces(each)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for number, each in enumerate(cast(list[object], value)):
            yield ", " if number else ""
            yield from _pieces(each)
        yield "]"
    elif isinstance(value, YamlScalar | JsonNumber):
        yield value
    else:
        yield json.dumps(value, ensure_ascii=False)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
