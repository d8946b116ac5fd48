"""A client of the demo's server whose waits take no time."""

from datetime import UTC, datetime, timedelta

from lc2_backup_dagster.applications.bloomreach.client import ApiClient
from lc2_backup_dagster.applications.http.patience import Patience, Timing


class PassingTime:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds

    def timing(self) -> Timing:
        begin = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
        return Timing(
            monotonic=lambda: self.seconds,
            sleep=self.sleep,
            now=lambda: begin + timedelta(seconds=self.seconds),
            jitter=lambda: 1.0,
        )

    @property
    def long_waits(self) -> list[float]:
        """Waits between tries, without the pace that is kept between requests."""
        return [wait for wait in self.waits if wait > 0.2]


class TokenStore:
    """Where a token is kept; counts how often it is read."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.reads = 0

    def __call__(self) -> str:
        self.reads += 1
        return self.token


def a_client(url: str, tokens: TokenStore, time: PassingTime, **options: object) -> ApiClient:
    options = {"patience": Patience(tries=4), **options}
    return ApiClient(url, tokens, timing=time.timing(), **options)  # type: ignore[arg-type]
