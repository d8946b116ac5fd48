from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.clouds.store import PosixFacts, PosixKind
from lc2_backup_dagster.engines.files.capture.changes import (
    Added,
    Changed,
    FactsChanged,
    Removed,
    Resumed,
    Unchanged,
    changes,
    same_version,
    with_finished,
)
from lc2_backup_dagster.engines.files.manifest.entry import Copied, FileEntry, Protection
from lc2_backup_dagster.model.errors import ManifestCorrupt
from lc2_backup_dagster_tests.engines.files.library import HASH, an_entry, an_info, only_store


def client(key: str) -> Protection:
    return Protection.CLIENT


listings = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), st.sampled_from(["1", "2"]), max_size=20)


@given(listings, listings)
def test_changes_say_of_every_key_what_happened_to_it(before: dict[str, str], now: dict[str, str]) -> None:
    found = list(
        changes(
            [an_entry(key, etag=before[key]) for key in sorted(before)],
            [an_info(key, etag=now[key]) for key in sorted(now)],
            protection_of=client,
        )
    )

    by_kind = {
        kind: {getattr(each, name).key for each in found if isinstance(each, kind)}
        for kind, name in [(Unchanged, "entry"), (Added, "info"), (Changed, "info"), (Removed, "previous")]
    }
    assert by_kind[Added] == now.keys() - before.keys()
    assert by_kind[Removed] == before.keys() - now.keys()
    assert by_kind[Unchanged] == {key for key in before.keys() & now.keys() if before[key] == now[key]}
    assert by_kind[Changed] == {key for key in before.keys() & now.keys() if before[key] != now[key]}
    assert len(found) == len(before.keys() | now.keys())


@given(listings, listings, listings)
def test_only_versions_that_the_listing_shows_are_taken_over_from_a_dead_attempt(
    before: dict[str, str], now: dict[str, str], done: dict[str, str]
) -> None:
    found = changes(
        [an_entry(key, etag=before[key]) for key in sorted(before)],
        [an_info(key, etag=now[key]) for key in sorted(now)],
        protection_of=client,
    )
    finished = [an_entry(key, etag=done[key]) for key in sorted(done)]

    kinds = Counter(
        each.entry.key for each in with_finished(found, finished, protection_of=client) if isinstance(each, Resumed)
    )

    assert kinds == Counter(key for key in now if key in done and now[key] == done[key] and before.get(key) != now[key])


def test_a_merge_of_unordered_sides_is_refused_because_it_would_drop_files() -> None:
    with pytest.raises(ManifestCorrupt, match="the listing is not in byte order"):
        list(changes([], [an_info("b"), an_info("a")], protection_of=client))
    with pytest.raises(ManifestCorrupt, match="the backup before is not in byte order"):
        list(changes([an_entry("b"), an_entry("a")], [an_info("c")], protection_of=client))
    with pytest.raises(ManifestCorrupt, match="the listing is not in byte order"):
        list(changes([], [an_info("a"), an_info("a")], protection_of=client))


def test_another_protection_makes_a_file_changed() -> None:
    assert isinstance(next(changes([an_entry("a")], [an_info("a")], protection_of=only_store)), Changed)
    stored = an_entry("a", Copied(HASH))
    assert isinstance(next(changes([stored], [an_info("a")], protection_of=only_store)), Unchanged)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"size_bytes": 4}, False),
        ({"etag": "other"}, False),
        ({"etag": None}, False),
        ({"modified": an_info("a").modified.replace(microsecond=0)}, True),
        ({"modified": an_info("a").modified + timedelta(seconds=1)}, False),
        ({"version": "v2"}, True),
    ],
)
def test_what_makes_a_version_another_one(change: dict[str, object], same: bool) -> None:
    assert same_version(an_entry("a"), an_info("a", **change)) is same


def test_version_ids_decide_where_both_sides_have_them() -> None:
    entry = an_entry("a", version="v1")

    assert same_version(entry, an_info("a", version="v1"))
    assert not same_version(entry, an_info("a", version="v2"))


def test_without_an_etag_the_time_must_agree_to_the_microsecond() -> None:
    entry, info = an_entry("a", etag=None), an_info("a", etag=None)

    assert same_version(entry, info)
    assert not same_version(entry, replace(info, modified=info.modified + timedelta(microseconds=1)))


OWNED = PosixFacts(PosixKind.FILE, 0o644, 1, 2)
LINK = PosixFacts(PosixKind.SYMLINK, 0o777, 1, 2, target="b")


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        (OWNED, OWNED, Unchanged),
        (OWNED, replace(OWNED, mode=0o600), FactsChanged),
        (OWNED, replace(OWNED, uid=3), FactsChanged),
        (None, OWNED, FactsChanged),
        (OWNED, None, FactsChanged),
    ],
)
def test_facts_are_no_part_of_a_version_but_change_the_entry(
    before: PosixFacts | None, now: PosixFacts | None, kind: type
) -> None:
    assert same_version(an_entry("a", posix=before), an_info("a", posix=now))
    found = changes([an_entry("a", posix=before)], [an_info("a", posix=now)], protection_of=client)
    assert isinstance(next(found), kind)


def test_links_need_no_protection_and_are_compared_by_where_they_lead() -> None:
    link = an_info("a", size_bytes=0, etag=None, posix=LINK)
    entry = FileEntry.without_content(link)

    assert isinstance(next(changes([entry], [link], protection_of=only_store)), Unchanged)
    other = replace(link, posix=replace(LINK, target="c"))
    assert isinstance(next(changes([entry], [other], protection_of=client)), FactsChanged)
    later = replace(link, modified=link.modified + timedelta(microseconds=1))
    assert isinstance(next(changes([entry], [later], protection_of=client)), Changed)
    assert isinstance(next(changes([entry], [an_info("a", posix=OWNED)], protection_of=client)), Changed)


def test_what_a_dead_attempt_copied_gets_the_facts_of_now() -> None:
    now = an_info("a", posix=replace(OWNED, mode=0o600))

    found = list(with_finished([Added(now)], [an_entry("a", posix=OWNED)], protection_of=client))

    assert found == [Resumed(Added(now), an_entry("a", posix=now.posix))]
