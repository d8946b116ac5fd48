"""``model/globs.py``: what a glob matches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.globs import FileSelection, GlobSet


@pytest.mark.parametrize(
    ("glob", "key", "matches"),
    [
        ("*", "", True),
        ("*", "a/b\nc/d", True),
        ("*/thumbnails/*", "1/2/thumbnails/3/4.png", True),
        ("*/thumbnails/*", "thumbnails/4.png", False),
        ("*/thumbnails/*", "1/Thumbnails/4.png", False),
        ("*.tmp", "a/b.tmp", True),
        ("*.tmp", "a/b.tmp2", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", True),
        ("a?c", "ac", False),
        ("[a-c]x", "bx", True),
        ("[!a-c]x", "bx", False),
        ("[!a-c]x", "dx", True),
        ("[]]", "]", True),
        ("[a-]", "-", True),
        ("[*]", "*", True),
        ("[*]", "a", False),
        ("[{]number}", "{number}", True),
        ("{number}/0", "20097/0", True),
        ("{number}/0", "/0", False),
        ("{number}/0", "20a/0", False),
        ("{number}/0", "٣/0", False),
        ("*{number}.png", "page12.png", True),
        ("a.b", "axb", False),
        ("a**b", "a/x/b", True),
        ("*a*b", "aab", True),
        ("*ab*ab", "abab", True),
        ("*ab*ab", "abxb", False),
        ("Ünï ☃/*", "Ünï ☃/+%", True),
    ],
)
def test_a_glob_matches_the_whole_key(glob, key, matches):
    assert GlobSet([glob]).match(key) is matches


def test_a_set_of_globs_matches_when_one_of_them_does():
    excludes = GlobSet(["*.tmp", "a/*", "*.tmp"])
    assert excludes.patterns == ("*.tmp", "a/*")
    assert [key for key in ("x.tmp", "a/b", "b/a/c", "x") if excludes.match(key)] == ["x.tmp", "a/b"]


def test_no_globs_match_nothing():
    assert not GlobSet([]).match("")
    assert not GlobSet([]).match("a")


@pytest.mark.parametrize("glob", ["", "[a", "a[!", "[]", "[z-a]"])
def test_a_malformed_glob_is_refused(glob):
    with pytest.raises(ConfigurationError, match="glob"):
        GlobSet([glob])


def test_a_hostile_glob_ends():
    # With backtracking this would take longer than the age of the world, and the suite's timeout would end it.
    assert not GlobSet(["*a" * 30 + "b"]).match("a" * 1000)


@given(st.text(alphabet="ab*?[]!-{}number0/", max_size=12), st.text(alphabet="ab0/", max_size=12))
def test_every_glob_is_refused_or_matches_in_peace(glob, key):
    try:
        excludes = GlobSet([glob])
    except ConfigurationError:
        return
    assert excludes.match(key) in (True, False)


@given(st.text(alphabet="ab*?", min_size=1, max_size=8), st.text(alphabet="ab", max_size=10))
def test_globs_agree_with_a_plain_definition(glob, key):
    def plain(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return plain(pattern[1:], text) or (bool(text) and plain(pattern, text[1:]))
        return bool(text) and pattern[0] in ("?", text[0]) and plain(pattern[1:], text[1:])

    assert GlobSet([glob]).match(key) == plain(glob, key)


@given(st.lists(st.sampled_from(["*", "{number}", "a", "/"]), min_size=1, max_size=6), st.text("a/1", max_size=8))
def test_number_is_a_whole_run_of_digits(parts, key):
    def plain(rest: list[str], at: int) -> bool:
        if not rest:
            return at == len(key)
        if rest[0] == "*":
            return any(plain(rest[1:], end) for end in range(at, len(key) + 1))
        if rest[0] == "{number}":
            end = at
            while end < len(key) and key[end] == "1":
                end += 1
            return end > at and (at == 0 or key[at - 1] != "1") and plain(rest[1:], end)
        return key[at : at + 1] == rest[0] and plain(rest[1:], at + 1)

    assert GlobSet(["".join(parts)]).match(key) == plain(parts, 0)


def test_a_selection_takes_what_is_included_and_not_excluded():
    selection = FileSelection(includes=["a/*", "b/*"], excludes=["*/x"])
    assert [key for key in ("a/1", "b/2", "c/3", "a/x") if selection.selects(key)] == ["a/1", "b/2"]
    assert FileSelection().selects("anything")
