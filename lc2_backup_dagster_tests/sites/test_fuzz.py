"""Whatever is done to a valid file: it loads, or every problem has a line; never another exception."""

import re
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lc2_backup_dagster_tests.sites.site_text import SITE, parse, site_values

# YAML 1.1 has more line breaks than editors.
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")

Path_ = tuple[str | int, ...]

_JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.dates()
    | st.sampled_from(["", "/", "*", "[", "{env: X}", "0 0 30 2 *", "s3", "file", "store", "a" * 300, "é\u2028"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, above: Path_ = ()) -> list[Path_]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: list[Path_] = []
    for step, inside in steps:
        found += [(*above, step), *places(inside, (*above, step))]
    return found


PLACES = places(site_values())


def parent_of(values: Any, place: Path_) -> Any:
    for step in place[:-1]:
        values = values[step]
    return values


@st.composite
def broken_values(draw: st.DrawFn) -> Any:
    values = site_values()
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(PLACES))
        try:
            parent, step = parent_of(values, place), place[-1]
            change = draw(st.sampled_from(["delete", "rename", "retype", "add"]))
            if change == "delete":
                del parent[step]
            elif change == "rename" and isinstance(parent, dict):
                parent[draw(st.text(max_size=10) | st.just(f"{step}s"))] = parent.pop(step)
            elif change == "add" and isinstance(parent, dict):
                parent[draw(st.text(max_size=10) | st.just("env"))] = draw(_JUNK)
            else:
                parent[step] = draw(_JUNK)
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # an earlier change has taken the place away
    return values


def check(content: bytes | str) -> None:
    definition, problems = parse(content)
    assert (definition is None) == bool(problems)
    text = content if isinstance(content, str) else content.decode("utf-8", "replace")
    lines = len(_LINE_BREAK.findall(text)) + 1
    for problem in problems:
        assert problem.line is not None
        assert 1 <= problem.line <= lines
        assert problem.reason
        assert str(problem).startswith(f"sites/retail.yaml:{problem.line}: ")


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(broken_values())
def test_a_changed_field_is_loaded_or_refused_with_a_line(values):
    check(yaml.safe_dump(values, allow_unicode=True, sort_keys=False))


@settings(deadline=None, max_examples=150)
@given(st.integers(0, len(SITE)), st.integers(0, 20), st.text(max_size=8))
def test_a_changed_text_is_loaded_or_refused_with_a_line(at, length, text):
    check((SITE[:at] + text + SITE[at + length :]).encode("utf-8", "surrogatepass"))


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200))
def test_any_bytes_are_loaded_or_refused_with_a_line(content):
    check(content)
