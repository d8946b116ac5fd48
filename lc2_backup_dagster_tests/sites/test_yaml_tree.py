"""What YAML a site file may be."""

import pytest

from lc2_backup_dagster.sites.yaml_tree import MAX_BYTES
from lc2_backup_dagster_tests.sites.site_text import SITE, definition_of, line_of, parse, problems_with


@pytest.mark.parametrize(
    ("content", "line", "told"),
    [
        (b"", 1, "is empty"),
        (b"# only a comment\n", 1, "is empty"),
        (b"---\n...\n", 1, "holds a single value"),
        (b"- a\n- b\n", 1, "holds a list at its top"),
        (b"just text", 1, "holds a single value at its top"),
        (b"a: 1\n\tb: 2\n", 2, "a tab where YAML wants spaces"),
        (b"a: 1\nb: [1, 2\nc: 3\n", 3, "is not YAML"),
        (b"a: 'open\n\n", 3, "is not YAML"),
        (b"a: 1\n---\nb: 2\n", 2, "a second document"),
        (b"a: 1\nb: \xff\xfe\n", 2, "is not UTF-8"),
        (b"a: 1\nb: \x07\n", 2, "a character that YAML does not allow"),
        ("a: 1\n".encode("utf-16"), 1, "is not UTF-8"),
        (b"a: &x 1\nb: *x\n", 1, "anchor or alias"),
        (b"a: 1\nb: *x\n", 2, "anchor or alias"),
        (b"a: " + b"[" * 5000 + b"]" * 5000, 1, "nested too deeply"),
        (b"a: 1\n? [b]\n: 2\n", 1, "has a key that is not a name"),
        (b"a: 1\nb: !!python/object/apply:os.system [x]\n", 2, "has a tag"),
        (b"#" * (MAX_BYTES + 1), 1, "is too large"),
    ],
)
def test_what_is_no_plain_yaml_mapping_is_refused_with_its_line(content, line, told):
    definition, problems = parse(content)
    assert definition is None
    found = [problem for problem in problems if told in str(problem)]
    assert found, problems
    assert found[0].line == line


def test_a_key_that_stands_twice_is_refused_with_both_lines():
    problems = problems_with("retention:\n  daily: 7\n", "retention:\n  daily: 7\n  daily: 30\n")
    line = line_of("daily: 7")
    assert problems == [
        f"sites/retail.yaml:{line + 1}: retention.daily: stands here a second time, first on line {line}; "
        "allowed: every field once"
    ]


def test_a_byte_order_mark_does_no_harm():
    assert parse(b"\xef\xbb\xbf" + SITE.encode())[0] is not None


def test_text_that_yaml_would_read_as_something_else_stays_text():
    text = SITE.replace("tier: gold", "build: 2026-11-23, at: 22:30:15, mode: 0644, on: 12_000, quoted: '5'")
    (problem,) = parse(text)[1]
    assert "has the tag 'at'" in str(problem)  # only the colons are refused, the rest was text
    text = SITE.replace("tier: gold", "build: 2026-11-23, mode: 0644, on: 12_000, quoted: '5'")
    assert dict(definition_of(text).tags) == {"build": "2026-11-23", "mode": "0644", "on": "12_000", "quoted": "5"}


def test_places_come_from_the_environment():
    text = SITE.replace("host: db.retail.example", "host: {env: PGHOST}").replace("port: 5432", "port: {env: PGPORT}")
    database = definition_of(text, PGHOST="10.0.0.5", PGPORT="6543").database
    assert (database.host, database.port) == ("10.0.0.5", 6543)


def test_a_place_from_the_environment_is_checked_like_one_in_the_file():
    (told,) = problems_with("port: 5432", "port: {env: PGPORT}", PGPORT="many")
    assert "database.port: 'many' is not allowed here; allowed: a whole number" in told


@pytest.mark.parametrize("environment", [{}, {"PGPORT": ""}])
def test_a_place_whose_variable_is_not_set_is_refused_once(environment):
    (told,) = problems_with("port: 5432", "port: {env: PGPORT}", **environment)
    assert f":{line_of('port: 5432')}: database.port: asks for environment variable 'PGPORT', which is not set" in told


def test_nothing_but_places_comes_from_the_environment():
    (told,) = problems_with("passwordEnv: RETAIL_DB_PASSWORD", "passwordEnv: {env: X}", X="secret")
    assert "database.passwordEnv: is not allowed here" in told
    assert "secret;" not in told
