"""What may be wrong with an answer: faults that the demo's Bloomreach server commits when it is told to.

A fault waits for a request that fits it, spoils the answer, and is used up after so many times.
"""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, and how it is sent.

    Attributes:
        status: the code.
        body: the body.
        headers: beside ``Content-Length``.
        cut_after: close the connection after so many bytes of the body, though more were announced.
        pause_seconds: wait so long before the first byte.
        drip_seconds: wait so long before each byte.
        silent: close the connection without a word.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    cut_after: int | None = None
    pause_seconds: float = 0.0
    drip_seconds: float = 0.0
    silent: bool = False

    def with_header(self, name: str, value: str) -> "Answer":
        """Return the answer with one more header."""
        return replace(self, headers={**self.headers, name: value})


@dataclass(slots=True)
class Fault:
    """A fault and the requests it is for.

    Attributes:
        spoil: turns the right answer into a wrong one.
        path: text that the path must contain.
        method: the request's method; any when None.
        times: how often it happens.
        skip: fitting requests that are answered rightly before.
        before: the request is not carried out at all.
    """

    spoil: Callable[[Answer], Answer]
    path: str = "/"
    method: str | None = None
    times: int = 1
    skip: int = 0
    before: bool = False

    def fits(self, method: str, path: str) -> bool:
        """Say whether it is this request's turn; counts it."""
        if self.times <= 0 or self.path not in path or self.method not in (None, method):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


def answering(status: int, *, message: str = "", retry_after: str | None = None) -> Callable[[Answer], Answer]:
    """Return a spoiler that answers with an error instead."""
    headers = {"Content-Type": "application/json", **({"Retry-After": retry_after} if retry_after else {})}
    return lambda answer: Answer(status, json.dumps({"message": message or f"error {status}"}).encode(), headers)


def html_page(answer: Answer) -> Answer:
    """Answer 200 with the page of a proxy."""
    return Answer(200, b"<html><body>Please sign in</body></html>", {"Content-Type": "text/html"})


def broken_json(answer: Answer) -> Answer:
    """Send half of the JSON, as if it were all."""
    return replace(answer, body=answer.body[: len(answer.body) // 2])


def cut_connection(answer: Answer) -> Answer:
    """Announce all of the body, send half, close."""
    return replace(answer, cut_after=len(answer.body) // 2)


def hang_up(answer: Answer) -> Answer:
    """Close the connection without an answer."""
    return replace(answer, silent=True)


def half_page(answer: Answer) -> Answer:
    """Leave out half of a page's items, though the page says that there are more."""
    page = json.loads(answer.body)
    items = page["items"] if isinstance(page, dict) else page
    kept = items[: len(items) // 2]
    return replace(answer, body=json.dumps({**page, "items": kept} if isinstance(page, dict) else kept).encode())


def older_version(answer: Answer) -> Answer:
    """Answer with a version that is lower than the right one."""
    return answer.with_header("X-Resource-Version", str(int(answer.headers["X-Resource-Version"]) - 1))


def slow(seconds: float) -> Callable[[Answer], Answer]:
    """Return a spoiler that waits before it answers."""
    return lambda answer: replace(answer, pause_seconds=seconds)


def dripping(seconds: float) -> Callable[[Answer], Answer]:
    """Return a spoiler that sends a byte at a time."""
    return lambda answer: replace(answer, drip_seconds=seconds)


def redirect(location: str) -> Callable[[Answer], Answer]:
    """Return a spoiler that sends the client elsewhere."""
    return lambda answer: Answer(302, b"", {"Location": location})


def truncated_zip(answer: Answer) -> Answer:
    """Send an archive without its end, as if it were all of it."""
    return replace(answer, body=answer.body[: len(answer.body) * 2 // 3])


def zip_of(members: Mapping[str, bytes]) -> Callable[[Answer], Answer]:
    """Return a spoiler that sends another archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return lambda answer: replace(answer, body=packed.getvalue())


def other_json(change: Callable[[Any], Any]) -> Callable[[Answer], Answer]:
    """Return a spoiler that changes the answer's value."""
    return lambda answer: replace(answer, body=json.dumps(change(json.loads(answer.body))).encode())
