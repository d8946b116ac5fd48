"""Which timelines of a database system are taken, so that a restored server begins one of its own.

Two histories under one number cannot be told apart: increments would stand on the wrong one, and WAL of both would
meet under the same names. PostgreSQL takes the first number behind its own whose history file it cannot get.
"""

from collections.abc import Iterable

from lc2_backup_dagster.engines.postgres.wal.spool import WalSource
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.repository.site import SiteRepository

_HISTORY = ".history"


class TakenTimelines:
    """History files of every timeline that the repository has seen of a system.

    Args:
        repository: the site's repository.
        system_identifier: the database system.
    """

    def __init__(self, repository: SiteRepository, system_identifier: str) -> None:
        self._archive = repository.wal(system_identifier)
        backed_up = [
            each.summary.get("timeline")
            for each in repository.backups(Component.DATABASE)
            if str(each.summary.get("system_identifier")) == system_identifier
        ]
        known = [*self._archive.timelines(), *(each for each in backed_up if isinstance(each, int))]
        self.newest = max(known, default=0)

    def history(self, timeline: int, *, after: int) -> bytes | None:
        """Return a timeline's history file, or None when there is none.

        Behind ``after``, up to the newest timeline, there always is one: a server only asks there which numbers are
        taken, and a number whose own file was never archived must not be taken again.
        """
        content = self._archive.history(timeline)
        if content is None and after < timeline <= self.newest:
            return f"# timeline {timeline} is taken; its history is not archived\n".encode("ascii")
        return content

    def histories(self, *, after: int) -> dict[int, bytes]:
        """Return the history files of all timelines behind one."""
        found = {number: self.history(number, after=after) for number in range(after + 1, self.newest + 1)}
        return {number: content for number, content in found.items() if content is not None}


class NewTimelineSource:
    """Archived WAL for a recovery that begins a timeline behind all that are taken.

    Args:
        taken: the timelines.
        after: the timeline that the recovery follows.
        source: serves the segments; None serves none, a base backup holds what it needs itself.
    """

    def __init__(self, taken: TakenTimelines, *, after: int, source: WalSource | None = None) -> None:
        self._taken = taken
        self._after = after
        self._source = source

    def fetch(self, name: str) -> bytes | None:
        """Return a segment or a history file, None when it is certainly not there.

        Raises:
            BackupError: whatever archive and source raise.
        """
        if name.endswith(_HISTORY):
            return self._taken.history(int(name.removesuffix(_HISTORY), 16), after=self._after)
        return self._source.fetch(name) if self._source else None

    def upcoming(self, name: str) -> Iterable[str]:
        """Yield the segments that are replayed after this one."""
        return self._source.upcoming(name) if self._source else ()
