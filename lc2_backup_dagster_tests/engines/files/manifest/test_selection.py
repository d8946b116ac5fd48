import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.files.manifest.selection import Selection


@pytest.mark.parametrize(
    ("glob", "selected", "left_out"),
    [
        ("*.pdf", ["a.pdf", ".pdf", "x/y/a.pdf"], ["a.pdfx", "a.txt"]),
        ("docs/*/1.?", ["docs/7/1.0", "docs/7/8/1.0"], ["docs/7/1.10", "docs/7/1."]),
        ("docs/*", ["docs/a", "docs/a/b\nc"], ["doc", "docsx"]),
        ("a[[]1]+.txt", ["a[1]+.txt"], ["a1.txt"]),
        ("{number}/0/*", ["20097/0/x"], ["20a/0/x"]),
    ],
)
def test_globs_mean_what_is_documented(glob: str, selected: list[str], left_out: list[str]) -> None:
    choice = Selection.matching([glob])

    assert all(key in choice for key in selected)
    assert not any(key in choice for key in left_out)


def test_several_globs_select_what_any_of_them_matches() -> None:
    choice = Selection.matching(["a/*.txt", "a/b/*"])

    assert "a/x.txt" in choice and "a/b/c" in choice and "a/x.pdf" not in choice
    assert choice.fixed_prefix == "a/"


def test_a_key_selects_only_itself_although_it_looks_like_a_glob() -> None:
    assert "a*" in Selection.only("a*") and "ab" not in Selection.only("a*")


@given(
    st.lists(st.text("ab/*?", min_size=1, max_size=6), max_size=3),
    st.text("ab/", max_size=3),
    st.text("ab/", max_size=8),
)
def test_every_selected_key_begins_with_the_fixed_prefix(globs: list[str], prefix: str, key: str) -> None:
    choice = Selection(prefix=prefix, globs=tuple(globs))

    if key in choice:
        assert key.startswith(choice.fixed_prefix)
