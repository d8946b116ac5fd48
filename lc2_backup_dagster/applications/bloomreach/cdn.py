"""After a restore of media: tell the CDN what it must not serve from its cache any more.

What is called, and with what, the site says: an HTTP address or a command. A failure is returned and never hidden, and
it does not undo the restore: the media are right, but what visitors see may be old.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Protocol
from urllib.parse import quote

from lc2_backup_dagster.applications.bloomreach.patience import Patience, Timing, repeated, retry_after_seconds
from lc2_backup_dagster.applications.bloomreach.transport import HttpLimits, HttpReply, HttpRequest, Transport
from lc2_backup_dagster.model.errors import BackupError, RequestRefused, ServiceUnavailable

_PATH_SAFE = "/:@!$&'()*+,;=-._~"
_FAILURES_KEPT = 20
_LIMITS = HttpLimits(exchange_seconds=60.0, answer_bytes=1 << 20)


class InvalidationCall(Protocol):
    """Tells the CDN of some paths."""

    def __call__(self, paths: list[str], /) -> None:
        """Send them.

        Raises:
            BackupError: the CDN did not take them.
        """
        ...


@dataclass(frozen=True, slots=True)
class PathRules:
    """How keys of media become paths of the CDN.

    Attributes:
        prefix: stands before the key, like ``/binaries/``.
        per_call: paths that one call may name.
        everything: what stands for all paths, used where more than ``everything_above`` are to be named; None where
            the CDN has no such word.
        everything_above: see there.
    """

    prefix: str = "/"
    per_call: int = 100
    everything: str | None = "/*"
    everything_above: int = 3000

    def path(self, key: str) -> str:
        """Return the path of a key, escaped like in a URL."""
        return self.prefix + quote(key, safe=_PATH_SAFE, errors="surrogateescape")


@dataclass(frozen=True, slots=True)
class Invalidation:
    """What came of it.

    Attributes:
        paths: how many were to be named.
        calls: how often the CDN was called.
        failures: what went wrong, at most twenty; empty where all went well.
        failed_calls: how many calls failed.
    """

    paths: int
    calls: int
    failures: tuple[str, ...]
    failed_calls: int

    @property
    def succeeded(self) -> bool:
        """Whether the CDN took every path."""
        return not self.failed_calls

    def text(self) -> str:
        """Return one line for a log or a note."""
        if self.succeeded:
            return f"CDN: {self.paths} paths invalidated in {self.calls} calls"
        return (
            f"CDN: {self.failed_calls} of {self.calls} calls failed, it may serve old media: {'; '.join(self.failures)}"
        )


def invalidate(keys: Iterable[str], call: InvalidationCall, rules: PathRules | None = None) -> Invalidation:
    """Tell the CDN of every restored key. A call that fails does not stop the next one.

    Args:
        keys: of the restored media, below the files' source prefix; read once, never held all at once.
        call: tells the CDN.
        rules: how keys become paths.
    """
    rules = rules or PathRules()
    total = calls = failed = 0
    failures: list[str] = []
    for paths, count in _batches(iter(keys), rules):
        total += count
        calls += 1
        try:
            call(paths)
        except BackupError as error:
            failed += 1
            if len(failures) < _FAILURES_KEPT:
                failures.append(error.message)
    return Invalidation(total, calls, tuple(failures), failed)


def _batches(keys: Iterator[str], rules: PathRules) -> Iterator[tuple[list[str], int]]:
    """Yield what each call names, and how many keys that stands for."""
    first = list(islice(keys, rules.everything_above + 1))
    if rules.everything is not None and len(first) > rules.everything_above:
        yield [rules.everything], len(first) + sum(1 for _ in keys)
        return
    named = chain(first, keys)
    while paths := [rules.path(key) for key in islice(named, rules.per_call)]:
        yield paths, len(paths)


@dataclass(frozen=True, slots=True)
class HttpInvalidation:
    """Calls an HTTP address with the paths as JSON, again where it fails for a while.

    Attributes:
        url: the address; https, unless it is this machine.
        method: POST, PUT or DELETE.
        headers: name → reads the value: secrets stay references until they are sent.
        field_name: what the list of paths is called in the JSON object.
        more: further members of that object.
        patience: how often it is tried.
        timing: the clock.
    """

    url: str
    method: str = "POST"
    headers: Mapping[str, Callable[[], str]] = field(default_factory=dict[str, Callable[[], str]], repr=False)
    field_name: str = "paths"
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])
    patience: Patience = field(default_factory=lambda: Patience(tries=4, total_seconds=120.0))
    timing: Timing = field(default_factory=Timing)

    def __call__(self, paths: list[str], /) -> None:
        """Send the paths.

        Raises:
            ServiceUnavailable: no answer, or an error of the server, again and again.
            RequestRefused: the CDN refuses.
            ConfigurationError: the address cannot be used, or a header's secret is absent.
        """
        transport = Transport(self.url, limits=_LIMITS, monotonic=self.timing.monotonic)
        headers = {name: read() for name, read in self.headers.items()}
        body = json.dumps({**self.more, self.field_name: paths}).encode()
        request = HttpRequest(self.method, "", headers={"Content-Type": "application/json", **headers}, body=body)

        def once() -> None:
            self._require_taken(transport, transport.exchange(request))

        try:
            # To invalidate a path twice does no harm.
            repeated(once, patience=self.patience, timing=self.timing, repeatable=True)
        finally:
            transport.close()

    def _require_taken(self, transport: Transport, reply: HttpReply) -> None:
        if 200 <= reply.status < 300:
            return
        where = f"{self.method} {transport.base_url}"
        if reply.status in (408, 429) or reply.status >= 500:
            asked_for = retry_after_seconds(reply.headers.get("retry-after"), now=self.timing.now())
            raise ServiceUnavailable(f"{where} answered {reply.status}", retry_after=asked_for)
        raise RequestRefused(f"{where} was refused with {reply.status}", status=reply.status)
