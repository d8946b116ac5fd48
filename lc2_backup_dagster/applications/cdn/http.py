"""A CDN that is told over HTTP, with a list of paths as JSON."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lc2_backup_dagster.applications.http.patience import Patience, Timing, repeated, retry_after_seconds
from lc2_backup_dagster.applications.http.transport import HttpLimits, HttpReply, HttpRequest, Transport
from lc2_backup_dagster.model.errors import RequestRefused, ServiceUnavailable

_LIMITS = HttpLimits(exchange_seconds=60.0, answer_bytes=1 << 20)


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
