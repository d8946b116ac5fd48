"""Delete many objects, and go on where the store refuses one: a lock ends some day, the rest need not wait for it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.engines.files.capture.counts import Sampled
from lc2_backup_dagster.model.errors import AccessDenied

AT_ONCE = 1000
_REFUSED_IN_A_ROW = 1000


@dataclass(slots=True)
class Deletion:
    """What became of some keys.

    Attributes:
        count: keys that are gone now; those that were gone before are counted too.
        still_there: keys the store did not let go, with its reason: they are locked, or the right is missing.
        given_up: whether the rest was not tried, because the store had refused a thousand one after the other.
    """

    count: int = 0
    still_there: Sampled = field(default_factory=Sampled)
    given_up: bool = False

    @property
    def complete(self) -> bool:
        """Whether all of them are gone."""
        return not self.still_there.count and not self.given_up


def delete_objects(store: ObjectStore, keys: Iterable[str]) -> Deletion:
    """Delete objects in batches; idempotent.

    Raises:
        StoreUnavailable: the store stayed away; what was deleted before is gone.
    """
    run = _Run(store)
    remaining = iter(keys)
    while not run.deletion.given_up and (batch := list(islice(remaining, AT_ONCE))):
        run.delete(batch)
    return run.deletion


class _Run:
    def __init__(self, store: ObjectStore) -> None:
        self.deletion = Deletion()
        self._store = store
        self._in_a_row = 0

    def delete(self, keys: Sequence[str]) -> None:
        """Delete a batch; where the store does not say which key it refused, halve it until that is known."""
        if self.deletion.given_up:
            return
        try:
            self._store.delete(keys)
        except AccessDenied as error:
            told = error.attributes.get("refused")
            if isinstance(told, list):
                refused = set(cast(list[Any], told))
                self._refused([key for key in keys if key in refused], error, of=len(keys))
            elif len(keys) == 1:
                self._refused(keys, error, of=1)
            else:
                middle = len(keys) // 2
                self.delete(keys[:middle])
                self.delete(keys[middle:])
        else:
            self.deletion.count += len(keys)
            self._in_a_row = 0

    def _refused(self, keys: Sequence[str], error: AccessDenied, *, of: int) -> None:
        for key in keys:
            self.deletion.still_there.add(key, error.message)
        self.deletion.count += of - len(keys)
        self._in_a_row = self._in_a_row + len(keys) if len(keys) == of else 0
        self.deletion.given_up = self._in_a_row >= _REFUSED_IN_A_ROW
