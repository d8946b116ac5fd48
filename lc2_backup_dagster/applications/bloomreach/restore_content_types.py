"""Bring content types of an export back into a development project: planned first, and nothing overwritten unasked.

The live project (``core``) is never written: what is restored is reviewed and merged in the product. A content type
that is there with other content is a conflict, until the caller says by name that it is to be replaced; one that
somebody changes between plan and write is a conflict in any case, because the plan that was agreed to is not true any
more.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import cast

from lc2_backup_dagster.applications.bloomreach.client import ApiClient, JsonAnswer, api_path
from lc2_backup_dagster.applications.bloomreach.paging import Resource
from lc2_backup_dagster.applications.bloomreach.resources import (
    CONTENT_TYPES_API,
    CONTENT_TYPES_FOLDER,
    content_type_listing,
    name_of,
)
from lc2_backup_dagster.engines.exports.canonical_json import canonical_json, parse_json
from lc2_backup_dagster.engines.exports.document import Document
from lc2_backup_dagster.engines.exports.document_changes import DocumentChanges, document_changes
from lc2_backup_dagster.model.errors import (
    ConfigurationError,
    ExportCorrupt,
    ObjectNotFound,
    RequestRefused,
    ResourceConflict,
    ServiceUnavailable,
)

LIVE_PROJECT = "core"


class TypeState(StrEnum):
    """What happens, or has happened, to a content type."""

    UNCHANGED = "unchanged"
    CREATE = "create"
    REPLACE = "replace"
    CONFLICT = "conflict"
    CREATED = "created"
    REPLACED = "replaced"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ContentTypeStep:
    """One content type of the export.

    Attributes:
        name: its name.
        state: what happens to it.
        wanted: the content type as the export holds it.
        version: the version that is there, None where none is.
        changes: how the export differs from what is there; None where nothing is.
        reason: why it is a conflict, or was refused.
    """

    name: str
    state: TypeState
    wanted: Resource
    version: str | None = None
    changes: DocumentChanges | None = None
    reason: str | None = None

    def text(self) -> Iterator[str]:
        """Yield lines for a terminal."""
        yield f"{self.state} {self.name}{f': {self.reason}' if self.reason else ''}"
        if self.changes is not None and self.state is not TypeState.UNCHANGED:
            yield from [*self.changes.text()][1:]


@dataclass(frozen=True, slots=True)
class ContentTypePlan:
    """What a restore of content types does.

    Attributes:
        project: the development project.
        steps: in the order in which they are written: field groups before the types that use them.
        extra: content types that the project has and the export has not; they are left alone.
    """

    project: str
    steps: tuple[ContentTypeStep, ...]
    extra: tuple[str, ...]

    def count(self, *states: TypeState) -> int:
        """Return how many content types are in one of these states."""
        return sum(step.state in states for step in self.steps)

    @property
    def is_whole(self) -> bool:
        """Whether nothing stands in the way, or stood."""
        return not self.count(TypeState.CONFLICT, TypeState.REFUSED)

    def text(self) -> Iterator[str]:
        """Yield lines for a terminal: each step, and what differs."""
        for step in self.steps:
            yield from step.text()
        for name in self.extra:
            yield f"left alone {name}: the export does not have it"


def plan_content_types(
    client: ApiClient,
    documents: Iterable[Document],
    *,
    project: str,
    overwrite: Callable[[str], bool] = lambda name: False,
) -> ContentTypePlan:
    """Compare the content types of an export with those of a development project. Writes nothing: it is the dry run.

    Args:
        client: of the environment that is restored to.
        documents: of the export; those that are no content types are passed over.
        project: the development project.
        overwrite: says by name which content types may be replaced.

    Raises:
        ConfigurationError: there is no such project, or it is the live one.
        ExportCorrupt: a document is no content type.
        BackupError: as ``ApiClient``.
    """
    if project == LIVE_PROJECT:
        raise ConfigurationError(
            "content types are not restored into the live project", hint="name a development project"
        )
    wanted = {name_of(each): each for each in _content_types(documents)}
    there = {name_of(each) for each in content_type_listing(client, project).items}
    steps = [_step(client, project, name, wanted[name], name in there, overwrite) for name in _ordered(wanted)]
    return ContentTypePlan(project, tuple(steps), tuple(sorted(there - wanted.keys())))


def apply_plan(
    client: ApiClient, plan: ContentTypePlan, *, on_step: Callable[[ContentTypeStep], None] = lambda step: None
) -> ContentTypePlan:
    """Write what a plan says, each content type over the version that the plan has seen, and return what came of it.

    A conflict or a refusal of one does not stop the others. May be carried out again, with a new plan.

    Args:
        client: of the environment that the plan was made for.
        plan: what is written.
        on_step: told what came of each content type, as it comes: what is written stays, also where a later one raises.

    Raises:
        BackupError: as ``ApiClient.put``, but for conflicts and refusals.
    """
    done: list[ContentTypeStep] = []
    for step in plan.steps:
        done.append(_write(client, plan.project, step))
        on_step(done[-1])
    return replace(plan, steps=tuple(done))


def _content_types(documents: Iterable[Document]) -> Iterator[Resource]:
    for document in documents:
        if not document.path.startswith(f"{CONTENT_TYPES_FOLDER}/"):
            continue
        try:
            value = parse_json(document.content)
        except ValueError as error:
            raise ExportCorrupt(f"{document.path} is no content type: {error}") from error
        if not isinstance(value, dict):
            raise ExportCorrupt(f"{document.path} is no content type")
        yield cast(Resource, value)


def _step(
    client: ApiClient, project: str, name: str, wanted: Resource, is_there: bool, overwrite: Callable[[str], bool]
) -> ContentTypeStep:
    current = _current(client, project, name) if is_there else None
    if current is None:
        return ContentTypeStep(name, TypeState.CREATE, wanted)
    old, new = canonical_json(current.value), canonical_json(wanted)
    step = ContentTypeStep(name, TypeState.UNCHANGED, wanted, current.version)
    if old == new:
        return step
    step = replace(step, changes=document_changes(f"{name}.json", old, new))
    if current.version is None:
        return replace(step, state=TypeState.CONFLICT, reason="the API tells no version to write over")
    if overwrite(name):
        return replace(step, state=TypeState.REPLACE)
    return replace(step, state=TypeState.CONFLICT, reason="it is there with other content; name it to replace it")


def _current(client: ApiClient, project: str, name: str) -> JsonAnswer | None:
    try:
        return client.get(_path(project, name))
    except ObjectNotFound:
        return None


def _path(project: str, name: str) -> str:
    # In paths, the API writes the colon of a name as a dash.
    return api_path(CONTENT_TYPES_API, project, name.replace(":", "-"))


def _write(client: ApiClient, project: str, step: ContentTypeStep) -> ContentTypeStep:
    match step.state:
        case TypeState.CREATE:
            done = TypeState.CREATED
        case TypeState.REPLACE:
            done = TypeState.REPLACED
        case _:
            return step
    try:
        answer = client.put(_path(project, step.name), step.wanted, version=step.version)
    except ResourceConflict:
        reason = "somebody has changed it since the plan was made"
        return replace(step, state=TypeState.CONFLICT, reason=reason)
    except RequestRefused as error:
        return replace(step, state=TypeState.REFUSED, reason=error.message)
    except ServiceUnavailable as error:
        # It may have been written before the answer was lost.
        current = _current(client, project, step.name) if error.attributes.get("sent", True) else None
        if current is None or canonical_json(current.value) != canonical_json(step.wanted):
            raise
        answer = current
    return replace(step, state=done, version=answer.version)


def _ordered(types: dict[str, Resource]) -> list[str]:
    """Return the names so that each comes behind the field groups it uses; those that use each other by name."""
    ordered: dict[str, None] = {}
    entered: set[str] = set()

    def enter(name: str) -> None:
        if name in entered or name not in types:
            return
        entered.add(name)
        for used in _field_groups(types[name]):
            enter(used)
        ordered[name] = None

    for name in sorted(types):
        enter(name)
    return list(ordered)


def _field_groups(content_type: Resource) -> Iterator[str]:
    fields = content_type.get("fields")
    for each in cast(list[object], fields) if isinstance(fields, list) else ():
        if isinstance(each, dict):
            for key in ("fieldGroupType", "fieldGroupTypes"):
                used = cast(Resource, each).get(key)
                yield from (
                    str(name) for name in (cast(list[object], used) if isinstance(used, list) else [used]) if name
                )
