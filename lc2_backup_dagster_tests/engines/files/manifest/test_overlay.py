"""Two lists laid one over the other."""

import hypothesis.strategies as st
from hypothesis import given

from lc2_backup_dagster.engines.files.manifest.entry_lines import EntryLine
from lc2_backup_dagster.engines.files.manifest.overlay import overlaid

KEYS = st.dictionaries(st.text("ab/", max_size=3), st.integers(0, 9), max_size=6)


def lines(sizes: dict[str, int]) -> list[EntryLine]:
    return [EntryLine(key, size, 0, b"", "a test") for key, size in sorted(sizes.items())]


@given(KEYS, KEYS)
def test_of_a_key_that_both_have_the_kept_line_counts(listed: dict[str, int], kept: dict[str, int]) -> None:
    found = [(line.key, line.size_bytes) for line in overlaid(lines(listed), lines(kept))]
    assert found == sorted({**listed, **kept}.items())
