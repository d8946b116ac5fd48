"""What the demo's Bloomreach server knows: content, versions, the development project, export operations.

Safe to use from several threads; every change raises the version of what changed, as the real product does.
"""

import io
import json
import threading
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from lc2_backup_dagster.demo.seed.bloomreach_content import BloomreachContent, edit

Json = dict[str, Any]
CORE, DEVELOPMENT = "core", "development"


class VersionRefused(Exception):
    """A resource was to be written with another version than it has."""


@dataclass(slots=True)
class ExportOperation:
    """An export that was asked for.

    Attributes:
        operation_id: its id.
        request: what was asked for.
        polls_left: how often it still says that it runs; None for ever.
        ends_as: its status when it ends.
        failed: path → reason, of items that it could not export.
        package: the zip; made when the operation was asked for, as the real one works on a moment, too.
        items: lines in it.
    """

    operation_id: str
    request: Json
    polls_left: int | None
    ends_as: str
    failed: dict[str, str]
    package: bytes
    items: int

    def poll(self) -> Json:
        """Return its details; it comes a step closer to its end."""
        if self.polls_left is None or self.polls_left > 0:
            running = self.polls_left is not None and self.polls_left < 2
            if self.polls_left is not None:
                self.polls_left -= 1
            return {**self._told("STARTED" if running else "STARTING")}
        done: Json = {"exportedItems": self.items, "failedItems": len(self.failed)}
        errors = [{"path": path, "message": reason} for path, reason in self.failed.items()]
        return {**self._told(self.ends_as), **done, "errors": errors}

    @property
    def is_done(self) -> bool:
        """Whether its file may be fetched."""
        return self.polls_left == 0 and self.ends_as == "COMPLETED"

    def _told(self, status: str) -> Json:
        return {"operationId": self.operation_id, "status": status, **self.request}

    def listed(self) -> Json:
        """Return how it stands in the list of operations."""
        return self._told(self.ends_as if self.polls_left == 0 else "STARTED")


@dataclass(slots=True)
class OperationPlan:
    """How the next export operations go.

    Attributes:
        polls: how often they say that they run; None for ever.
        ends_as: their status when they end.
        failed: path → reason, of items they cannot export.
    """

    polls: int | None = 2
    ends_as: str = "COMPLETED"
    failed: dict[str, str] = field(default_factory=dict[str, str])


class BloomreachState:
    """One environment.

    Args:
        content: what it holds.
        development: whether there is a development project that may change content types.
    """

    def __init__(self, content: BloomreachContent, *, development: bool = True) -> None:
        self.content = content
        self.plan = OperationPlan()
        self.operations: dict[str, ExportOperation] = {}
        self._versions: dict[str, int] = {}
        self._projects: dict[str, dict[str, Json]] = {CORE: content.content_types}
        if development:
            self._projects[DEVELOPMENT] = deepcopy(content.content_types)
        self._lock = threading.RLock()

    def version(self, resource: str) -> int:
        """Return the version of a resource or a list of them; it begins with 1 and only ever grows."""
        with self._lock:
            return self._versions.get(resource, 1)

    @contextmanager
    def changing(self, *resources: str) -> Generator[BloomreachContent]:
        """Give the content to be changed, and raise the versions of what is named."""
        with self._lock:
            yield self.content
            for resource in resources:
                self._versions[resource] = self.version(resource) + 1

    def edit(self, day: int) -> None:
        """Let the editors work for a day."""
        with self._lock:
            for kind in edit(self.content, day):
                if kind == "content_types":
                    self._raise(CORE, "retail:product")
                elif kind == "routes":
                    with self.changing("site/channels/retail-en/routes"):
                        pass

    def content_types(self, project: str) -> dict[str, Json] | None:
        """Return the content types of a project, or None when there is no such project."""
        with self._lock:
            return deepcopy(self._projects.get(project))

    def put_content_type(self, project: str, name: str, value: Json, version: int | None) -> int:
        """Write a content type and return its new version.

        Raises:
            VersionRefused: it has another version, or exists although none was named.
        """
        with self._lock:
            types = self._projects[project]
            current = self.version(f"contenttypes/{project}/{name}") if name in types else None
            if current != version:
                raise VersionRefused(f"{name} has version {current}")
            types[name] = deepcopy(value)
            self._raise(project, name)
            return self.version(f"contenttypes/{project}/{name}")

    def _raise(self, project: str, name: str) -> None:
        with self.changing(f"contenttypes/{project}", f"contenttypes/{project}/{name}"):
            pass

    def site_list(self, parts: tuple[str, ...]) -> list[Json] | None:
        """Return a list of the site API by its path below ``site/v1``, or None when there is none."""
        content = self.content
        with self._lock:
            match parts:
                case ("channels",):
                    found = content.channels
                case ("channels", channel, "layouts" | "routes" | "menus" as kind):
                    lists: dict[str, dict[str, dict[str, Json]]] = {
                        "layouts": content.layouts, "routes": content.routes, "menus": content.menus,
                    }  # fmt: skip
                    found = lists[kind].get(channel)
                case ("channels", channel, "component_groups"):
                    groups = content.component_groups.get(channel)
                    found = groups and {
                        name: {"name": name, "hidden": False, "system": name == "base"} for name in groups
                    }
                case ("channels", channel, "component_groups", group, "components"):
                    found = content.component_groups.get(channel, {}).get(group)
                case _:
                    found = None
            return None if found is None else deepcopy(list(found.values()))

    def begin_export(self, request: Json) -> ExportOperation:
        """Begin an export operation, as the plan says."""
        with self._lock:
            lines = [line for line in self._lines(request) if line["path"] not in self.plan.failed]
            operation = ExportOperation(
                operation_id=f"op-{len(self.operations) + 1:04}",
                request=request,
                polls_left=self.plan.polls,
                ends_as=self.plan.ends_as,
                failed=dict(self.plan.failed),
                package=_packed(lines),
                items=len(lines),
            )
            self.operations[operation.operation_id] = operation
            return operation

    def _lines(self, request: Json) -> Iterator[Json]:
        root = str(request["sourcePath"]).rstrip("/")
        for path, item in self.content.items.items():
            if item["type"] in request["dataTypes"] and f"{path}/".startswith(f"{root}/"):
                if request.get("includeVersionHistory"):
                    yield {**item, "versionHistory": self.content.history.get(path, [])}
                else:
                    yield item


def _packed(lines: list[Json]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        archive.writestr("export.ndjson", text)
    return packed.getvalue()
