"""After a restore of files: the CDN before the application is told what it must not serve from its cache any more.

What is called, and how, is not known here (``InvalidationCall``). A failure is returned and never hidden, and it does
not undo the restore: the files are right, but what visitors see may be old.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Protocol
from urllib.parse import quote

from lc2_backup_dagster.model.errors import BackupError

_PATH_SAFE = "/:@!$&'()*+,;=-._~"
_FAILURES_KEPT = 20
# A CDN that is away costs minutes with each call; of a million files that would be weeks.
_FAILURES_IN_A_ROW = 5


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
    """How keys of files become paths of the CDN.

    Attributes:
        prefix: stands before the key, like ``/binaries/``.
        per_call: paths that one call may name.
        everything: what stands for all paths, used where more than ``everything_above`` are to be named; None where
            the CDN has no such word.
        everything_above: see there.
    """

    prefix: str = "/"
    per_call: int = 100
    everything: str | None = None
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
        untold: paths that were not sent any more, because too many calls had failed in a row.
    """

    paths: int
    calls: int
    failures: tuple[str, ...]
    failed_calls: int
    untold: int = 0

    @property
    def succeeded(self) -> bool:
        """Whether the CDN took every path."""
        return not self.failed_calls

    def text(self) -> str:
        """Return one line for a log or a note."""
        if self.succeeded:
            return f"CDN: {self.paths} paths invalidated in {self.calls} calls"
        untold = f", {self.untold} of {self.paths} paths were not sent any more" if self.untold else ""
        return (
            f"CDN: {self.failed_calls} of {self.calls} calls failed{untold}, it may serve old files: "
            f"{'; '.join(self.failures)}"
        )


def invalidate(keys: Iterable[str], call: InvalidationCall, rules: PathRules | None = None) -> Invalidation:
    """Tell the CDN of every restored key. A call that fails does not stop the next one; five in a row do.

    Args:
        keys: of the restored files, below the prefix of their source; read once, never held all at once.
        call: tells the CDN.
        rules: how keys become paths.
    """
    rules = rules or PathRules()
    total = calls = failed = in_a_row = untold = 0
    failures: list[str] = []
    for paths, count in _batches(iter(keys), rules):
        total += count
        if in_a_row >= _FAILURES_IN_A_ROW:
            untold += count
            continue
        calls += 1
        try:
            call(paths)
            in_a_row = 0
        except BackupError as error:
            failed += 1
            in_a_row += 1
            if len(failures) < _FAILURES_KEPT:
                failures.append(error.message)
    return Invalidation(total, calls, tuple(failures), failed, untold)


def _batches(keys: Iterator[str], rules: PathRules) -> Iterator[tuple[list[str], int]]:
    """Yield what each call names, and how many keys that stands for."""
    first = list(islice(keys, rules.everything_above + 1))
    if rules.everything is not None and len(first) > rules.everything_above:
        yield [rules.everything], len(first) + sum(1 for _ in keys)
        return
    named = chain(first, keys)
    while paths := [rules.path(key) for key in islice(named, rules.per_call)]:
        yield paths, len(paths)
