"""R-26 for any history: an application works on in the orderly way while a point of it is captured.

The orderly way: a file is written before its row, and a row is deleted before its file. Whatever happens between the
dump's snapshot and the listing, on a source that keeps versions no row of the point dangles, and every file is restored
as its row promised it. Without versions only files that were born and deleted between two captures are missing, and
files that were replaced twice in that time are of another size; both are listed exactly.
"""

import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, example, given, settings

from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock
from lc2_backup_dagster_tests.operations.rows_site import RowsSite

KEYS = ("a", "a/b", "ab", "b", "c")
# A step writes a key (with a content of a length that never comes again), deletes it, or lets the row lag behind.
STEPS = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(["write", "write", "delete", "lag"])), max_size=8)
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Application:
    """Writes and deletes files and their rows, and remembers every content.

    Attributes:
        bodies: key → length → content.
    """

    def __init__(self, site: RowsSite) -> None:
        self.site = site
        self.bodies: dict[str, dict[int, bytes]] = {}
        self._length = 0

    def work(self, steps: list[tuple[str, str]]) -> None:
        for key, step in steps:
            self._seconds()
            if step == "delete":
                self.site.rows.pop(key, None)
                self._seconds()
                self.site.source.delete([key])
            else:
                self._length += 1
                body = self._length.to_bytes(2, "big") * self._length
                self.site.source.put(key, body, create_only=False)
                self.bodies.setdefault(key, {})[len(body)] = body
                self._seconds()
                if step == "write" or key not in self.site.rows:
                    self.site.rows[key] = len(body)

    def _seconds(self) -> None:
        self.site.clock.move(seconds=2)

    def catch_up(self) -> None:
        """Commit the rows that lag behind their files."""
        for key in self.site.rows:
            self.site.rows[key] = max(self.bodies[key])


def history(site: RowsSite, *steps: list[tuple[str, str]]) -> tuple[Application, dict[str, int | None]]:
    """Let an application work: before a first capture, before the dump, and between the dump and the listing."""
    before, between, after = steps
    application = Application(site)
    application.work([(key, "write" if step == "lag" else step) for key, step in before])
    site.capture()
    application.work(between)
    site.dump()
    promised = dict(site.rows)
    application.catch_up()
    application.work(after)
    site.capture()
    return application, promised


@FEW
@given(STEPS, STEPS, STEPS)
@example([("a", "write")], [], [("a", "delete")])
@example([], [("a", "write"), ("a", "lag")], [("a", "write"), ("a", "delete"), ("a", "write")])
def test_with_versions_every_row_has_its_file_as_it_was(before, between, after) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        site = RowsSite(Path(scratch))
        site.source.whole_seconds = True  # type: ignore[attr-defined] - as S3 tells times
        application, promised = history(site, before, between, after)
        point = site.bind()
        match = point.manifest.details["row_match"]
        assert (match["dangling_count"], match["size_mismatch_count"]) == (0, 0)
        restored = site.restored(point.backup.backup_id)
        assert {key: restored[key] for key in promised} == {
            key: application.bodies[key][size] for key, size in promised.items() if size is not None
        }


@FEW
@given(STEPS, STEPS, STEPS)
@example([], [("a", "write")], [("a", "delete")])
@example([("a", "write")], [("a", "write")], [("a", "write")])
def test_without_versions_what_nobody_saw_is_listed_and_all_else_is_as_it_was(before, between, after) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        site = RowsSite(Path(scratch), source=MemoryStore(SetClock(), url="memory://source"))
        application, promised = history(site, before, between, after)
        seen: set[tuple[str, int]] = set()
        for backup in site.backups():
            with_sizes = site.contents_of(backup)
            seen |= set(with_sizes.items())
        point = site.bind()
        match = point.manifest.details["row_match"]
        restored = site.restored(point.backup.backup_id)
        known = {key for key, size in promised.items() if (key, size) in seen}
        assert {key: restored[key] for key in known} == {
            key: application.bodies[key][promised[key] or 0] for key in known
        }
        unseen = promised.keys() - known
        missing = {line.partition(" ")[0] for line in match["dangling"]}
        resized = {line.partition(" ")[0] for line in match["size_mismatches"]}
        assert missing | resized == unseen
        assert missing == unseen - restored.keys()
