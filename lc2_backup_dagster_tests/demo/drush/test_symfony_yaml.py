"""YAML as ``symfony/yaml`` 6.4 writes it; the expected texts follow its Dumper, Inline and Escaper."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.demo.drush.symfony_yaml import dump, load
from lc2_backup_dagster.demo.seed.php_values import serialize

ODD = st.sampled_from("\n\t'\"\\:#-{}[]&*!|>%@`~,? \x85\xa0")
# Literal blocks that begin with blanks are read in other ways by PyYAML than by Symfony; no configuration has them.
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co")) | ODD, max_size=9).filter(
    lambda text: "\n" not in text or (text[0] not in " \n" and text.isascii())
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | TEXTS | st.sampled_from([1.5, -0.25, 2.0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.integers(-3, 900), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("value", "yaml"),
    [
        ({"a": {"b": {"c": 1}}}, "a:\n  b:\n    c: 1\n"),
        ({"module": {}, "list": [], "none": None}, "module: {  }\nlist: {  }\nnone: null\n"),
        ({"theme": ["a", "b"]}, "theme:\n  - a\n  - b\n"),
        ({"x": [{"id": "a", "w": 1}, ["b"]]}, "x:\n  -\n    id: a\n    w: 1\n  -\n    - b\n"),
        ({"page": {"403": "", "front": "/node/1"}}, "page:\n  403: ''\n  front: /node/1\n"),
        ({0: "a", 2: "b"}, "0: a\n2: b\n"),
        ({"t": True, "f": False, "i": 7, "d": 1.0, "e": 0.5}, "t: true\nf: false\ni: 7\nd: 1.0\ne: 0.5\n"),
        ({"body": "a\n\nb\n"}, "body: |\n  a\n\n  b\n"),
        ({"body": "a\nb", "next": 1}, "body: |-\n  a\n  b\nnext: 1\n"),
        ({"body": "a\n\n"}, "body: |+\n  a\n\n"),
        ({"body": "  a\nb"}, "body: |2-\n    a\n  b"),
        ({"body": "a\r\nb"}, 'body: "a\\r\\nb"\n'),
    ],
)
def test_structure_is_written_as_symfony_writes_it(value, yaml):
    assert dump(value).decode() == yaml


@pytest.mark.parametrize(
    ("text", "yaml"),
    [
        ("plain", "plain"),
        ("two words", "'two words'"),
        ("<em>x</em>", "'<em>x</em>'"),
        ("a<b", "a<b"),
        ("it's", "'it''s'"),
        ("Ü", "Ü"),
        ("2", "'2'"),
        ("1.5e3", "'1.5e3'"),
        (" 1", "' 1'"),
        ("1_000", "'1_000'"),
        ("0xFF", "'0xFF'"),
        ("2024-01-31", "'2024-01-31'"),
        ("yes", "'yes'"),
        ("Off", "'Off'"),
        ("nothing", "nothing"),
        ("a:b", "'a:b'"),
        ("-x", "'-x'"),
        ("x-y", "x-y"),
        ("/node/1", "/node/1"),
        ("[site:name]", "'[site:name]'"),
        ("tab\there", '"tab\\there"'),
        ("no\xa0break", '"no\\_break"'),
        ("", "''"),
        ("\x01", "!!binary AQ=="),
    ],
)
def test_texts_are_quoted_as_symfony_quotes_them(text, yaml):
    assert dump({"k": text}).decode() == f"k: {yaml}\n"
    assert load(dump({"k": text})) == {"k": text}


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4))
def test_what_is_written_is_read_back_as_the_same_php_value(value):
    assert serialize(load(dump(value))) == serialize(value)


def test_plain_scalars_are_read_as_symfony_reads_them():
    read = load(b"a: yes\nb: 2024-01-01\nc: 010\nd: ~\ne: TRUE\nf: 1e3\n403: x\n'7': y\ntrue: z\ng: 12:30\n")
    assert read == {
        "a": "yes", "b": "2024-01-01", "c": "010", "d": None, "e": True, "f": 1000.0, 403: "x", 7: "y", "true": "z",
        "g": "12:30",
    }  # fmt: skip


@pytest.mark.parametrize("content", [b"a: [", b"a: 1\na: 2", b"? [x]\n: 1", b"!!python/name:os.system x", b"\xff"])
def test_what_is_no_yaml_of_drupal_is_refused_without_its_content(content):
    with pytest.raises(ValueError):
        load(content)
