"""How a document differs: by keys, by lines, never with its secrets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.exports.comparing import ChangeKind
from lc2_backup_dagster.engines.exports.document_changes import document_changes
from lc2_backup_dagster.engines.exports.redaction import HIDDEN, is_secret_name
from lc2_backup_dagster.engines.exports.yaml_document import MAX_NODES, check_yaml, yaml_tree


def json_changes(old, new):
    """Return (key, kind, old, new) of two JSON values."""
    changes = document_changes("a.json", json.dumps(old).encode(), json.dumps(new).encode())
    return [(each.key, str(each.kind), each.old, each.new) for each in changes.keys or ()]


def yaml_changes(old: str, new: str):
    changes = document_changes("a.yml", old.encode(), new.encode())
    return [(each.key, str(each.kind), each.old, each.new) for each in changes.keys or ()]


def test_keys_that_were_added_removed_and_changed_are_named_with_their_path():
    old = {"a": {"b": 1, "x.y": [1, 2]}, "gone": None}
    new = {"a": {"b": 2, "x.y": [1, 3, 4], "n": {"k": "v"}}}
    assert json_changes(old, new) == [
        ("a.b", "changed", "1", "2"),
        ("a.n", "added", None, '{"k": "v"}'),
        ('a["x.y"][1]', "changed", "2", "3"),
        ('a["x.y"][2]', "added", None, "4"),
        ("gone", "removed", "null", None),
    ]


def test_items_with_a_name_are_matched_by_it():
    title, lead = {"name": "title", "required": True}, {"name": "lead", "required": False}
    assert json_changes({"fields": [title]}, {"fields": [lead, {**title, "required": False}]}) == [
        ("fields[name=title].required", "changed", "true", "false"),
        ("fields[name=lead]", "added", None, '{"name": "lead", "required": false}'),
    ]


def test_another_order_of_named_items_is_seen():
    one, other = {"name": "a"}, {"name": "b"}
    assert json_changes([one, other], [other, one]) == [("(order)", "changed", "a, b", "b, a")]


def test_items_whose_names_are_not_unique_are_matched_by_place():
    assert json_changes([{"name": "a", "v": 1}, {"name": "a", "v": 2}], [{"name": "a", "v": 1}]) == [
        ("[1]", "removed", '{"name": "a", "v": 2}', None)
    ]


def test_a_change_of_kind_is_a_change():
    assert json_changes({"a": 1}, {"a": "1"}) == [("a", "changed", "1", '"1"')]
    assert json_changes({"a": {}}, {"a": []}) == [("a", "changed", "{}", "[]")]
    assert json_changes([], {"a": 1}) == [("", "changed", "[]", '{"a": 1}')]


def test_yaml_is_compared_with_its_types():
    old = "status: true\nweight: 0\nname: 'on'\nlist: [a]\nempty:\n"
    new = "status: false\nweight: '0'\nname: on\nlist: [a, b]\nempty: ~\n"
    assert yaml_changes(old, new) == [
        ("empty", "changed", "null", "~"),
        ("list[1]", "added", None, '"b"'),
        ("name", "changed", '"on"', "on"),
        ("status", "changed", "true", "false"),
        ("weight", "changed", "0", '"0"'),
    ]


def test_another_way_to_write_the_same_yaml_is_shown_by_lines():
    changes = document_changes("a.yml", b"a: [1]\n", b"a:\n  - 1\n")
    assert changes.keys is None
    assert changes.lines == ("@@ -1,1 +1,2 @@", "-a: [1]", "+a:", "+  - 1")


def test_a_yaml_bomb_is_compared_by_lines_and_takes_no_memory():
    rows = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 12)]
    bomb = "\n".join(["a0: &a0 [x, x]", *rows]) + "\n"
    check_yaml(bomb.encode())
    with pytest.raises(ValueError, match=f"more than {MAX_NODES}"):
        yaml_tree(bomb.encode())
    changes = document_changes("a.yml", bomb.encode(), (bomb + "b: 1\n").encode())
    assert changes.lines
    assert changes.lines[-1] == "+b: 1"


def test_a_yaml_that_contains_itself_is_compared_by_lines():
    assert document_changes("a.yml", b"&a [*a]\n", b"&a [*a, 1]\n").lines


@pytest.mark.parametrize("content", [b"a: [", b"a: b: c", b"\x00", b"- a\nb: c\n", b"a: 'x"])
def test_what_is_no_yaml_is_refused_with_its_place(content):
    with pytest.raises(ValueError, match="not YAML"):
        check_yaml(content)


def test_tags_of_an_application_are_yaml():
    check_yaml(b"a: !php/const Foo::BAR\n")


def test_a_document_that_does_not_parse_any_more_is_compared_by_lines():
    changes = document_changes("a.json", b'{"a": 1}\n', b'{"a": 1\n')
    assert changes.lines == ("@@ -1,1 +1,1 @@", '-{"a": 1}', '+{"a": 1')


def test_added_and_removed_documents_tell_their_size():
    assert list(document_changes("a", None, b"123").text()) == ["+ a (3 bytes)"]
    assert list(document_changes("a", b"12", None).text()) == ["- a (2 bytes)"]


def test_bytes_that_are_no_text_tell_their_size():
    assert document_changes("a.bin", b"\xff\xfe", b"\xff").note == "no text, 2 → 1 bytes"
    assert "no text" in (document_changes("a.bin", b"a\0b", b"a\0c").note or "")


def test_very_long_texts_are_not_compared_line_by_line():
    text = b"x\n" * 15_000
    assert "too long" in (document_changes("a.txt", text, text + b"y\n").note or "")


@pytest.mark.parametrize(
    "name",
    [
        "password", "db_password", "dbPassword", "jdbc.default.password", "PASSWORD", "passwd", "apiKey", "api_key",
        "apiToken", "tokens", "hash_salt", "client_secret", "clientSecret", "privateKey", "aws.access-key",
        "credentials", "smtp_pwd", "license-key", "Authorization", "connectionString",
    ],
)  # fmt: skip
def test_names_of_secrets_are_known(name):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["compass", "saltwater", "tokenizer", "keyboard", "passenger", "secretary", "name", ""]
)
def test_other_names_are_not_taken_for_secrets(name):
    assert not is_secret_name(name)


SECRETS = [
    ({"password": "hunter2"}, {"password": "hunter3"}),
    ({"db": {"credentials": {"user": "hunter2"}}}, {"db": {"credentials": {"user": "hunter3", "x": 1}}}),
    ({"p": [{"name": "apiToken", "value": "hunter2"}]}, {"p": [{"name": "apiToken", "value": "hunter3"}]}),
    ([{"name": "apiToken", "v": "hunter2"}, {"name": "apiToken", "v": 1}], [{"name": "apiToken", "v": "hunter3"}]),
    ({"a": 1}, {"a": 1, "new": {"deep": [{"secret": "hunter2"}]}}),
    ({"a": 1}, {"a": 1, "new": [{"name": "client_secret", "value": "hunter2"}]}),
    ({"a": 1}, {"a": {"password": "hunter2"}}),
    ({"url": "https://user:hunter2@host/x"}, {"url": "https://user:hunter3@host/x"}),
    ({"x": "a"}, {"x": "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----"}),
    ({"x": "a"}, {"x": "y" * 100 + " Bearer hunter2hunter2"}),
    ({"x": "a"}, {"x": "eyJhbGciOiJIUzI1.eyJodW50ZXIyIjox.hunter2"}),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), SECRETS)
def test_a_secret_is_seen_to_change_and_never_shown(old, new):
    changes = document_changes("a.json", json.dumps(old).encode(), json.dumps(new).encode())
    shown = "\n".join(changes.text())
    assert changes.keys
    assert "hunter" not in shown
    assert HIDDEN in shown


def test_secrets_in_plain_text_are_hidden_and_their_change_is_seen():
    old = "\n".join(
        [
            "jdbc.default.url=jdbc:postgresql://db/lportal",
            "jdbc.default.password=hunter2",
            "mail.session.mail.smtp.password = \\",
            "    hunter2",
            'token: "hunter2"',
            "-----BEGIN PRIVATE KEY-----",
            "hunter2",
            "-----END PRIVATE KEY-----",
            "export API_KEY=hunter2",
            "web.server=https://admin:hunter2@host",
            "last=1",
        ]
    )
    changes = document_changes("portal-ext.properties", old.encode(), old.replace("hunter2", "hunter3").encode())
    shown = "\n".join(changes.text())
    assert "hunter" not in shown
    assert shown.count("+jdbc.default.password=‹hidden›") == 1
    assert " last=1" in shown
    assert "jdbc:postgresql://db/lportal" in shown


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_line_diff_tells_the_new_text(old, new):
    changes = document_changes("a.txt", old.encode("utf-8", "replace"), new.encode("utf-8", "replace"))
    assert changes.kind is ChangeKind.CHANGED
    assert changes.keys is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "name"]), inner, max_size=3),
    max_leaves=12,
)


@given(JSON, JSON)
def test_keys_differ_exactly_when_values_differ(old, new):
    def strict(value):
        return json.dumps(value, sort_keys=True)

    changes = document_changes("a.json", json.dumps(old).encode(), json.dumps(new).encode())
    assert bool(changes.keys) == (strict(old) != strict(new))
