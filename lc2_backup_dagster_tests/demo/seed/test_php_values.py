import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.demo.seed.php_values import array_key, serialize, unserialize

KEYS = st.integers(-(2**40), 2**40) | st.text(max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8) | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "php"),
    [
        (None, "N;"),
        (True, "b:1;"),
        (-3, "i:-3;"),
        (1.5, "d:1.5;"),
        (2.0, "d:2;"),
        ("Bücher", 's:7:"Bücher";'),
        ('a";s:1:"b', 's:9:"a";s:1:"b";'),
        ([], "a:0:{}"),
        (["x", 1], 'a:2:{i:0;s:1:"x";i:1;i:1;}'),
        ({"403": "", "front": "/node/1"}, 'a:2:{i:403;s:0:"";s:5:"front";s:7:"/node/1";}'),
        ({1: "b", 0: "a"}, 'a:2:{i:1;s:1:"b";i:0;s:1:"a";}'),
    ],
)
def test_values_are_written_as_php_writes_them(value, php):
    assert serialize(value) == php.encode()


@given(VALUES)
def test_what_was_written_is_read_back_and_written_alike(value):
    data = serialize(value)
    assert serialize(unserialize(data)) == data


@pytest.mark.parametrize("key", ["01", "-0", "1.0", "", "-", "٣", "9" * 19])
def test_only_whole_numbers_become_numbers_as_keys(key):
    assert array_key(key) == key
    assert array_key("-7") == -7


@pytest.mark.parametrize(
    "data", [b"", b's:5:"abc";', b"a:1:{i:0;}", b"i:1;i:2;", b'O:8:"stdClass":0:{}', b"a:1:{N;N;}", b"i:1"]
)
def test_what_is_no_value_of_scalars_and_arrays_is_refused(data):
    with pytest.raises(ValueError):
        unserialize(data)
