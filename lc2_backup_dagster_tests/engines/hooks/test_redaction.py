"""No secret is shown, wherever the chunks of an output are cut."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.exports.redaction import redacted_lines
from lc2_backup_dagster.engines.hooks.redaction import HIDDEN, Redaction, ValueFilter

LETTERS = st.text("abc", min_size=1, max_size=6)


def shown(values, chunks):
    kept = ValueFilter(values)
    return b"".join([*(kept.feed(chunk) for chunk in chunks), kept.end()]).decode()


@given(st.sets(LETTERS, min_size=1, max_size=4), st.lists(st.text("abcx", max_size=8), max_size=8))
@example({"ab", "abc"}, ["xab", "cx"])
@example({"abcab", "abx"}, ["abcab", "c"])
@example({"aba"}, ["ab", "ab", "a"])
def test_no_secret_is_shown_however_the_output_is_cut(values, chunks):
    told = shown(values, [chunk.encode() for chunk in chunks])
    assert not any(value in piece for value in values for piece in told.split(HIDDEN))
    # What is no secret is shown, in its order.
    assert told.replace(HIDDEN, "").count("x") <= "".join(chunks).count("x")
    if not any(value in "".join(chunks) for value in values):
        assert told == "".join(chunks)


@pytest.mark.parametrize("spelt", [quote, json.dumps, lambda text: base64.b64encode(text.encode()).decode()])
def test_a_secret_is_hidden_in_the_spellings_that_programs_print(spelt):
    secret = 'pa/ss "word"+1'
    assert "word" not in shown({secret}, [f"it is {spelt(secret)}!".encode()])
    assert spelt(secret)[:8] not in shown({secret}, [f"it is {spelt(secret)}!".encode()])


def test_each_line_of_a_secret_of_several_lines_is_hidden():
    told = shown({"first line\nsecond line\nx"}, [b"second ", b"line and x\nfirst", b" line\n"])
    assert told == f"{HIDDEN} and x\n{HIDDEN}\n"


def test_one_secret_that_stands_in_the_word_for_hidden_does_no_harm():
    assert shown({"hunter2", "d"}, [b"hunter2 d"]) == f"{HIDDEN} {HIDDEN}"


def test_an_empty_secret_hides_nothing():
    assert shown({""}, [b"all"]) == "all"


def test_what_looks_like_a_secret_is_hidden_too():
    redaction = Redaction(frozenset({"tok-4711"}), redacted_lines).knowing(["s3cr"])
    assert redaction.text("tok-4711 s3cr\nAPI_TOKEN=abc\nhttps://user:pw@host/") == (
        f"{HIDDEN} {HIDDEN}\nAPI_TOKEN={HIDDEN}\nhttps://{HIDDEN}@host/"
    )
    assert "4711" not in repr(redaction)


@pytest.mark.parametrize(
    ("line", "shown_line"),
    [
        ("connecting user=me password=HUN;TER2 host=db", f"connecting user=me password={HIDDEN} host=db"),
        ('{"user": "me", "password": "HUN TER2", "port": 1}', f'{{"user": "me", "password": "{HIDDEN}", "port": 1}}'),
        ("curl --token=HUNTER2 https://x", f"curl --token={HIDDEN} https://x"),
        ("PGPASSWORD=HUNTER2", f"PGPASSWORD={HIDDEN}"),
        ("its password= and token: in vain", f"its password= {HIDDEN} token: {HIDDEN} vain"),
        ("compass: north, saltwater=yes", "compass: north, saltwater=yes"),
    ],
)
def test_what_is_assigned_to_a_secret_name_is_hidden_in_the_middle_of_a_line_too(line, shown_line):
    assert list(redacted_lines([line])) == [shown_line]
