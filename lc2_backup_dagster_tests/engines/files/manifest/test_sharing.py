"""Whatever backups hold, a merge of their sorted lines finds exactly the contents that only some of them name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lc2_backup_dagster.engines.files.manifest.entry import Copied, encode_entry
from lc2_backup_dagster.engines.files.manifest.sharing import contents_of, distinct, lines_not_in, unreferenced
from lc2_backup_dagster.engines.files.manifest.stored_content import StoredContent
from lc2_backup_dagster.model.errors import FormatNotSupported, ManifestCorrupt
from lc2_backup_dagster_tests.engines.files.library import SITE, an_entry

keys = st.sampled_from(["a", "b", "c", "d/e", "d-e", "ü", "\udcff", "😀", 'quote"', "\u2028"])
manifests = st.dictionaries(keys, st.integers(0, 5), max_size=8)


def identity(number: int) -> str:
    return f"{number:02x}" * 32


def lines(manifest: dict[str, int]) -> list[bytes]:
    """Return the lines of a manifest: key → number of its content."""
    return [encode_entry(an_entry(key, Copied(identity(manifest[key]))))[:-1] for key in sorted(manifest)]


@given(one=manifests, other=manifests)
def test_exactly_the_lines_are_left_that_the_other_does_not_hold(one, other):
    there = set(lines(other))
    assert list(lines_not_in(lines(one), lines(other), name="one")) == [
        each for each in lines(one) if each not in there
    ]


@given(one=st.permutations(range(8)), other=manifests)
def test_lines_out_of_order_are_never_lost(one, other):
    """What is dropped is always held by the other: an unsorted manifest keeps too much, never too little."""
    mixed = [encode_entry(an_entry(f"{each}", Copied(identity(1))))[:-1] for each in one]
    left = list(lines_not_in(mixed, lines(other), name="one"))
    assert set(mixed) - set(lines(other)) <= set(left)


@settings(max_examples=200)
@given(purged=st.lists(manifests, min_size=1, max_size=3), kept=st.lists(manifests, max_size=4))
def test_what_goes_is_what_the_purged_name_and_nobody_else(purged, kept):
    references = []
    for number, manifest in enumerate(kept):
        before = lines(kept[number - 1]) if number else []
        own = lines_not_in(lines(manifest), before, name="kept")
        references += [[each.identity, each.parts] for each in contents_of(own, SITE, name="kept")]
    nearest = [lines(kept[-1]) if kept else [], *map(lines, purged)]
    candidates = [
        [each.identity, each.parts]
        for manifest, other in zip(purged, nearest, strict=False)
        for each in contents_of(lines_not_in(lines(manifest), other, name="purged"), SITE, name="purged")
    ]

    found = [StoredContent(*row) for row in distinct(unreferenced(sorted(candidates), sorted(references)))]

    named = {number for manifest in purged for number in manifest.values()}
    spared = {number for manifest in kept for number in manifest.values()}
    assert found == [StoredContent(identity(number), 0) for number in sorted(named - spared)]


def test_candidates_of_two_shapes_are_both_kept():
    """Nothing our writer makes; whatever lies below a dead identity is dead."""
    rows = [["aa", 2], ["aa", 0], ["aa", 2], ["bb", 1]]
    assert list(distinct(unreferenced(rows, [["bb", 0]]))) == [["aa", 0], ["aa", 2]]


def test_neighbours_in_a_bundle_yield_it_once():
    manifest = {f"{number:05d}": 1 for number in range(1000)}
    assert list(contents_of(lines(manifest), SITE, name="x")) == [StoredContent(identity(1), 0)]


@pytest.mark.parametrize("line", [b"{}", b"[]", b"x", b'{"k":1}'])
def test_a_line_without_a_key_is_refused(line):
    with pytest.raises(ManifestCorrupt, match="the one"):
        list(lines_not_in([line], lines({"a": 1}), name="the one"))
    with pytest.raises(ManifestCorrupt, match="the one"):
        list(lines_not_in(lines({"a": 1}), [line], name="the one"))


def test_a_location_of_unknown_kind_is_refused():
    line = lines({"a": 1})[0].replace(b'["o"', b'["z"')
    with pytest.raises(FormatNotSupported, match="of the one"):
        list(contents_of([line], SITE, name="the one"))
