"""``docs/site-file.md`` lists every field as the schema has it."""

import re
from pathlib import Path

import pytest

from lc2_backup_dagster.sites.fields import (
    cdn_reference,
    configuration_reference,
    markdown_table,
    reference,
    runners_reference,
    stores_reference,
)
from lc2_backup_dagster_tests.sites.site_text import FILE, definition_of, parse

DOCUMENT = Path(__file__).parents[2] / "docs" / "site-file.md"


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("fields", reference),
        ("runners", runners_reference),
        ("stores", stores_reference),
        ("configuration", configuration_reference),
        ("cdn", cdn_reference),
    ],
)
def test_the_document_has_the_table_of_the_schema(name, lines):
    found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", DOCUMENT.read_text(), re.DOTALL)
    assert found
    expected = markdown_table(lines())
    assert found[1] == expected, f"put this table into {DOCUMENT.name}:\n{expected}"


def test_every_field_says_what_it_is_for():
    assert [line.path for line in reference() if not line.description] == []


def test_the_smallest_file_of_the_document_loads():
    text = re.search(r"## The smallest file\n\n```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert text
    definition = definition_of(text[1])
    assert str(definition.site_id) == "retail/liferay"
    assert definition.retention.daily == 7
    assert definition.schedules.database.cron == "0 * * * *"
    assert definition.schedules.daily.cron == "0 2 * * *"
    assert definition.destination.encryption.enabled


def test_a_definition_is_frozen_and_shows_its_file_in_problems():
    with pytest.raises(ValueError, match="frozen"):
        definition_of().project = "other"
    assert parse("")[1][0].file == FILE
