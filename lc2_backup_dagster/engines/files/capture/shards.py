"""A library cut by prefixes into shards that are captured apart, at once, perhaps on several machines.

Every key belongs to exactly one shard: to the one whose prefix it begins with, or to the rest. No prefix begins with
another one, so the keys of a prefix are neighbours in the order of all keys.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.site import Component, SiteId
from lc2_backup_dagster.repository.layout import backup_prefix

_LAST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Shard:
    """Some of the keys of a library.

    Attributes:
        number: its place among the shards, from 0.
        prefix: what its keys begin with; empty for the rest.
        others: prefixes of the other shards, for the rest: its keys begin with none of them.
    """

    number: int = 0
    prefix: str = ""
    others: tuple[str, ...] = ()

    def __contains__(self, key: str) -> bool:
        return key.startswith(self.prefix) and not key.startswith(self.others)

    def __str__(self) -> str:
        return repr(self.prefix) if self.prefix else "the rest"


WHOLE = Shard()
"""A library that is not cut."""


def shards_of(prefixes: Sequence[str]) -> tuple[Shard, ...]:
    """Return the shards of a library in the order of their keys, the rest last.

    Args:
        prefixes: in any order; none leaves the library whole.

    Raises:
        ConfigurationError: a prefix is empty, or begins with another one.
    """
    ordered = tuple(sorted(prefixes))
    for place, prefix in enumerate(ordered):
        if not prefix:
            raise ConfigurationError("a shard has an empty prefix", hint="the rest is a shard by itself")
        # Sorted, a prefix stands directly before those that begin with it.
        if place and prefix.startswith(ordered[place - 1]):
            raise ConfigurationError(
                f"the shards {ordered[place - 1]!r} and {prefix!r} overlap", hint="no prefix may begin with another one"
            )
    shards = [Shard(number, prefix) for number, prefix in enumerate(ordered)]
    return (*shards, Shard(len(ordered), "", ordered))


def list_shard(store: ObjectStore, shard: Shard) -> Iterator[ObjectInfo]:
    """Yield the objects of a shard in the store's order.

    A store that lists in byte order is not asked for what belongs to other shards: where their keys begin, the
    listing goes on behind them.
    """
    if not shard.others or not store.capabilities.ordered_listing:
        yield from (found for found in store.list(shard.prefix) if found.key in shard)
        return
    start_after: str | None = None
    while True:
        for found in store.list(start_after=start_after):
            passed = next((prefix for prefix in shard.others if found.key.startswith(prefix)), None)
            if passed is None:
                yield found
            elif start_after is None or not start_after.startswith(passed):
                start_after = passed + _LAST
                break
            # Else a key with the last of all characters behind the prefix: no bound lies between it and the rest.
        else:
            return


@dataclass(frozen=True, slots=True)
class Lane:
    """One try to capture one shard, for an attempt that several processes work for.

    Everything it writes has a name that no other lane has. So a process that was given up and goes on writing never
    meets the one that took its place.

    Attributes:
        shard: what it captures.
        token: random.
    """

    shard: Shard
    token: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def name(self) -> str:
        """Its name within the attempt; those of one shard begin alike."""
        return f"{_numbered(self.shard)}-{self.token}"

    @property
    def stream(self) -> str:
        """Name of the stream with its part of the manifest."""
        return f"shard-{self.name}"

    def generation(self, attempt_id: str) -> str:
        """Return what makes its identities unlike all others."""
        return f"{attempt_id}.{self.name}"


def plan_key(site: SiteId, attempt_id: str) -> str:
    """Return where the step that begins writes down what all others go by."""
    return f"{_folder(site, attempt_id)}plan"


def result_key(site: SiteId, attempt_id: str, shard: Shard) -> str:
    """Return where a shard's result lies."""
    return f"{_folder(site, attempt_id)}{_numbered(shard)}"


def lanes_of(shard: Shard) -> str:
    """Return what the names of all lanes of a shard begin with."""
    return f"{_numbered(shard)}-"


def _folder(site: SiteId, attempt_id: str) -> str:
    return f"{backup_prefix(site, Component.FILES, attempt_id)}shards/"


def _numbered(shard: Shard) -> str:
    return f"{shard.number:03d}"
