"""Lists of the APIs, whole: page by page, and refused when a page is short or the list changed in the middle.

A list comes as a JSON array (all of it), or as pages of ``items`` with ``offset`` and ``total``. Short pages look like
the end of a list; taken for it, resources would vanish from the backup one day.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from lc2_backup_dagster.applications.bloomreach.client import ApiClient, JsonAnswer
from lc2_backup_dagster.applications.http.patience import wait_seconds
from lc2_backup_dagster.model.errors import AnswerInvalid

PAGE_ITEMS = 100
MAX_ITEMS = 1_000_000

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listing:
    """A whole list.

    Attributes:
        items: its resources, each once.
        version: the list's version, where the API tells one.
    """

    items: tuple[Resource, ...]
    version: str | None


@dataclass(frozen=True, slots=True)
class _Page:
    items: list[Resource]
    total: int | None  # None for a list that comes as one array
    version: str | None


class _Moved(Exception):
    """The list is not the one that the first page was of, or a page is short; asked again it may be whole."""


def list_resources(client: ApiClient, path: str, *, identity: Callable[[Resource], str]) -> Listing:
    """Fetch a whole list.

    Args:
        client: of the environment.
        path: of the list.
        identity: names a resource within the list.

    Raises:
        AnswerInvalid: no list; short pages, or another list with each page, again and again; a resource without a name.
        BackupError: as ``ApiClient.get``.
    """
    tries = 0
    while True:
        tries += 1
        try:
            return _whole(client, path, identity)
        except _Moved as error:
            if tries >= client.patience.tries:
                raise AnswerInvalid(
                    f"GET {path} at {client.base_url}: {error} (tried {tries} times)",
                    hint="the list changes faster than it can be read, or the API loses items",
                ) from None
            client.timing.sleep(wait_seconds(client.patience, tries, asked_for=None, jitter=client.timing.jitter()))


def _whole(client: ApiClient, path: str, identity: Callable[[Resource], str]) -> Listing:
    found: dict[str, Resource] = {}
    page = _page(client, path, 0)
    first = page
    while True:
        for item in page.items:
            name = identity(item)
            if name in found:
                raise _Moved(f"{name} came twice")
            found[name] = item
        if page.total is None or len(found) >= page.total:
            break
        page = _page(client, path, len(found))
        if (page.total, page.version) != (first.total, first.version):
            raise _Moved("the list changed while it was read")
    if page.total is not None and len(found) > page.total:
        raise _Moved(f"{len(found)} items came of {page.total}")
    return Listing(tuple(found.values()), first.version)


def _page(client: ApiClient, path: str, offset: int) -> _Page:
    answer = client.get(path, {"offset": str(offset), "limit": str(PAGE_ITEMS)})
    if isinstance(answer.value, list):
        if offset:
            raise _Moved("a page became a whole list")
        return _Page(_resources(answer.value, path), None, answer.version)
    return _checked(_fields(answer, path), answer.version, path, offset)


def _checked(fields: Mapping[str, object], version: str | None, path: str, offset: int) -> _Page:
    items = _resources(fields.get("items"), path)
    total, given = _count(fields.get("total"), path), _count(fields.get("offset", offset), path)
    if total > MAX_ITEMS:
        raise AnswerInvalid(f"GET {path}: {total} items are more than {MAX_ITEMS}")
    if given != offset:
        raise _Moved(f"the page at {given} came for the one at {offset}")
    expected = min(total - offset, _count(fields.get("limit", 1), path))
    if len(items) < max(expected, int(offset < total)) or len(items) > max(0, total - offset):
        raise _Moved(f"the page at {offset} of {total} has {len(items)} items")
    return _Page(items, total, version)


def _fields(answer: JsonAnswer, path: str) -> Mapping[str, object]:
    if not isinstance(answer.value, dict):
        raise AnswerInvalid(f"GET {path} answered no list")
    return cast(Mapping[str, object], answer.value)


def _resources(value: object, path: str) -> list[Resource]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in cast(list[object], value)):
        raise AnswerInvalid(f"GET {path} answered no list of resources")
    return cast(list[Resource], value)


def _count(value: object, path: str) -> int:
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal():
        raise AnswerInvalid(f"GET {path} answered a page without usable numbers")
    return int(text[:18])
