"""The content export: asked for, waited for, fetched. Every wait has an end, and no export is begun twice by accident.

The API answers a POST with an operation's id; the operation is polled until it ends, then its file is fetched. When the
answer to the POST is lost, nobody knows whether the operation exists: it is looked for among the operations before
another one is begun.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from lc2_backup_dagster.applications.bloomreach.client import ApiClient, api_path
from lc2_backup_dagster.applications.http.patience import Patience, wait_seconds
from lc2_backup_dagster.model.errors import (
    AnswerInvalid,
    ExportFailed,
    ObjectNotFound,
    RequestRefused,
    ResourceConflict,
    ServiceUnavailable,
)

EXPORT_API = "/management/content-export/v1"
DATA_TYPES = ("document", "page", "resourcebundle", "folder")

_RUNNING = ("STARTING", "STARTED", "STOPPING")
_ENDED = ("FAILED", "STOPPED", "ABANDONED", "UNKNOWN")
_COMPLETED = "COMPLETED"
_SAMPLE = 100
_REASON_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class ContentExportRequest:
    """What is exported, and how long that may take.

    Attributes:
        project: the project; ``core`` is the main one.
        source_path: the folder that is exported with all below it.
        data_types: kinds of content.
        include_version_history: earlier versions of each item, too.
        wait_seconds: longest time until the operation has ended.
        file_bytes: longest file that is fetched.
    """

    project: str = "core"
    source_path: str = "/content/documents"
    data_types: Sequence[str] = DATA_TYPES
    include_version_history: bool = False
    wait_seconds: float = 7200.0
    file_bytes: int = 16 * 1024**3

    def body(self) -> dict[str, Any]:
        """Return what is posted."""
        asked: dict[str, Any] = {
            "branch": self.project,
            "sourcePath": self.source_path,
            "dataTypes": list(self.data_types),
        }
        if self.include_version_history:
            asked["includeVersionHistory"] = True
        return asked


@dataclass(frozen=True, slots=True)
class ExportedContent:
    """A finished operation.

    Attributes:
        operation_id: its id.
        items: lines that its file must have, or None where the API does not tell.
        unexported: items that it could not export, ``(path, reason)``; the first hundred.
        unexported_count: how many there are.
    """

    operation_id: str
    items: int | None
    unexported: tuple[tuple[str, str], ...] = field(default=())
    unexported_count: int = 0


def export_content(client: ApiClient, request: ContentExportRequest) -> ExportedContent:
    """Let the application export its content, and wait until it has.

    Raises:
        ExportFailed: the operation failed, or has not ended in time.
        ServiceUnavailable: no answer for too long; whether an operation was begun may be unknown.
        AnswerInvalid: an answer that makes no sense.
        BackupError: as ``ApiClient``.
    """
    return _wait(client, _begin(client, request), request.wait_seconds)


def fetch_package(client: ApiClient, exported: ExportedContent, sink: BinaryIO, *, limit_bytes: int) -> None:
    """Fetch the file of an operation that has completed; whatever the sink held is gone.

    Raises:
        ExportFailed: there is no such file.
        BackupError: as ``ApiClient.download``.
    """
    try:
        client.download(f"{_path(exported.operation_id)}/files", sink, limit_bytes=limit_bytes)
    except ObjectNotFound as error:
        raise ExportFailed(f"export operation {exported.operation_id} has completed and has no file") from error


def _begin(client: ApiClient, request: ContentExportRequest) -> str:
    before = _operations(client, request)
    for _ in range(client.patience.tries):
        try:
            return _id_in(client.post(EXPORT_API, request.body()).value)
        except ResourceConflict as error:
            raise ServiceUnavailable(
                f"{client.base_url} begins no export now", hint="another one is under way; run again later"
            ) from error
        except ServiceUnavailable as error:
            if not error.attributes.get("sent", True):
                raise
            if before is None:
                raise ServiceUnavailable(
                    f"{error.message}; whether an export was begun is not known, and it is not begun twice",
                    hint="look for it in the application, or run again later",
                ) from None
            # What timed out may still be under way there: it is not looked for at once.
            client.timing.sleep(client.patience.longest_wait_seconds)
            begun = [each for each in _operations(client, request) or () if each not in before]
            if begun:
                return begun[-1]
    raise ServiceUnavailable(f"POST {EXPORT_API} at {client.base_url} was lost {client.patience.tries} times")


def _operations(client: ApiClient, request: ContentExportRequest) -> list[str] | None:
    """Return the ids of the operations that do the same, or None where the API does not list them."""
    try:
        found = client.get(f"{EXPORT_API}/operations").value
    except (ObjectNotFound, RequestRefused):
        return None
    if not isinstance(found, list):
        return None
    wanted = request.body()
    listed = [cast(dict[str, object], each) for each in cast(list[object], found) if isinstance(each, dict)]
    return [_id_in(each) for each in listed if all(each.get(name) == value for name, value in wanted.items())]


def _id_in(value: object) -> str:
    found = cast(dict[str, object], value).get("operationId") if isinstance(value, dict) else None
    if not isinstance(found, str) or not found:
        raise AnswerInvalid("an export operation came without its operationId")
    return found


def _path(operation_id: str) -> str:
    return api_path(f"{EXPORT_API}/operations", operation_id)


def _wait(client: ApiClient, operation_id: str, longest_seconds: float) -> ExportedContent:
    timing = client.timing
    began = timing.monotonic()
    for wait in _waits(client.patience, timing.jitter):
        details = client.get(_path(operation_id)).value
        if not isinstance(details, dict):
            raise AnswerInvalid(f"export operation {operation_id} came without details")
        fields = cast(dict[str, object], details)
        status = fields.get("status")
        if status == _COMPLETED:
            return _exported(operation_id, fields)
        if status in _ENDED:
            raise ExportFailed(
                f"export operation {operation_id} ended as {status}", hint="the application's log says why"
            )
        if status not in _RUNNING:
            raise AnswerInvalid(f"export operation {operation_id} has a status that is not known")
        if timing.monotonic() - began + wait > longest_seconds:
            break
        timing.sleep(wait)
    raise ExportFailed(
        f"export operation {operation_id} has not ended within {longest_seconds:.0f} s",
        hint="wait longer, or export less at once",
    )


def _waits(patience: Patience, jitter: Any) -> Iterator[float]:
    polls = 0
    while True:
        polls += 1
        yield wait_seconds(patience, polls, asked_for=None, jitter=jitter())


def _exported(operation_id: str, fields: dict[str, object]) -> ExportedContent:
    errors = fields.get("errors")
    listed = cast(list[object], errors) if isinstance(errors, list) else []
    samples = tuple(_unexported(each) for each in listed[:_SAMPLE])
    failed = _number(fields.get("failedItems"))
    return ExportedContent(
        operation_id=operation_id,
        items=_number(fields.get("exportedItems")),
        unexported=samples,
        unexported_count=max(failed or 0, len(listed)),
    )


def _unexported(value: object) -> tuple[str, str]:
    fields = cast(dict[str, object], value) if isinstance(value, dict) else {}
    return str(fields.get("path", "an item without a path")), str(fields.get("message", ""))[:_REASON_CHARACTERS]


def _number(value: object) -> int | None:
    text = str(value)
    return int(text[:18]) if value is not None and text.isdecimal() else None
