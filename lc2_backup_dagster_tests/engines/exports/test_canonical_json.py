"""One form for one value, and no value changed by it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.exports.canonical_json import canonical_json, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def test_it_is_sorted_indented_utf8_and_ends_with_a_line_feed():
    text = '{"b":[1,{}],"a":{"ü":"\\u00e9\\n","Z":[]},"c":null}'
    assert canonical_json(parse_json(text)).decode() == (
        '{\n  "a": {\n    "Z": [],\n    "ü": "é\\n"\n  },\n  "b": [\n    1,\n    {}\n  ],\n  "c": null\n}\n'
    )


@pytest.mark.parametrize(
    "number", ["1", "-0", "1.0", "1.00", "0.1234567890123456789012345", "1e400", "-1E-7", "9" * 5000]
)
def test_a_number_keeps_its_text(number):
    assert canonical_json(parse_json(f"[{number}]")).decode() == f"[\n  {number}\n]\n"


def test_order_and_white_space_of_the_source_make_no_difference():
    assert canonical_json(parse_json('{"a":1,"b":2}')) == canonical_json(parse_json('{ "b": 2,\n"a" :1 }'))


@given(VALUES)
def test_what_is_written_is_read_back_as_the_same_value(value):
    written = canonical_json(value)
    assert json.loads(written) == value
    assert canonical_json(parse_json(written)) == written


def test_a_lone_surrogate_is_written_as_its_escape():
    written = canonical_json(parse_json('{"a": "x\\ud800y"}'))
    assert b'"x\\ud800y"' in written
    assert json.loads(written) == {"a": "x\ud800y"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "not JSON: .* at line 1 column 2"),
        (b'{"a":1} x', "Extra data at line 1 column 9"),
        (b'{"a":1,"a":2}', "the same name twice"),
        (b"[NaN]", "NaN is no JSON"),
        (b"[-Infinity]", "-Infinity is no JSON"),
        (b'["\xff"]', "not UTF-8 at byte 2"),
        (b"[" * 100_000, "nested too deeply"),
        (b"", "not JSON"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


@pytest.mark.parametrize("value", [float("nan"), {1: 2}, b"bytes", {"a": {1, 2}}])
def test_a_value_that_json_does_not_have_is_refused(value):
    with pytest.raises(ValueError):
        canonical_json(value)


def test_a_refusal_does_not_repeat_the_content():
    with pytest.raises(ValueError) as caught:
        parse_json('{"password": "hunter2"')
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
