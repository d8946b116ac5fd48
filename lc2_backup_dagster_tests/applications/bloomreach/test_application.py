"""What the service knows of Bloomreach: words, and the queries for rows that name media."""

import json
import re
import textwrap
from pathlib import Path

import pytest

from lc2_backup_dagster.applications.bloomreach.application import BloomreachApplication
from lc2_backup_dagster.applications.bloomreach.media import (
    JACKRABBIT_DATA_STORE_SQL,
    MediaTable,
    media_reference_sql,
)
from lc2_backup_dagster.model.application import Application, FileReference
from lc2_backup_dagster.model.errors import ConfigurationError

BLOOMREACH = BloomreachApplication()
TABLE = "CREATE TABLE brx_media (id bigint PRIMARY KEY, object_key text, size_bytes bigint, node_path text)"
BUNDLES = tuple(
    f"CREATE TABLE {name}_bundle (node_id bytea NOT NULL, bundle_data bytea NOT NULL)"
    for name in ("default", "version")
)


def references(make_database, postgres, sql, *statements):
    server = make_database(postgres, *statements)
    with server.connect() as connection:
        return [FileReference(*row) for row in connection.execute(sql.encode()).fetchall()]


def test_its_files_are_called_media():
    assert isinstance(BLOOMREACH, Application)
    assert (BLOOMREACH.kind, BLOOMREACH.files_word) == ("bloomreach", "media")
    assert not BLOOMREACH.generated_globs


def test_a_restore_is_followed_by_the_index_and_the_cdn():
    notes = " ".join(BLOOMREACH.after_restore_notes)
    assert "index" in notes
    assert "CDN" in notes


def test_rows_of_the_media_table_name_objects_in_byte_order(make_database, postgres):
    found = references(
        make_database, postgres, BLOOMREACH.file_reference_sql, TABLE,
        "INSERT INTO brx_media VALUES (1, 'é/1', 5, '/a'), (2, 'a-b', NULL, '/b'), (3, 'a/b', 7, '/c'), "
        "(4, 'a/b', 7, '/d'), (5, NULL, 1, '/e')",
    )  # fmt: skip
    assert found == [
        FileReference("a-b", "brx_media.id=2", None),
        FileReference("a/b", "brx_media.id=3", 7),
        FileReference("a/b", "brx_media.id=4", 7),
        FileReference("é/1", "brx_media.id=1", 5),
    ]


def test_table_and_columns_can_be_others(make_database, postgres):
    sql = media_reference_sql(MediaTable("dam.asset", key_column="path", id_column="asset_id", size_column=None))
    found = references(
        make_database, postgres, sql,
        "CREATE SCHEMA dam", "CREATE TABLE dam.asset (asset_id uuid, path text)",
        "INSERT INTO dam.asset VALUES ('00000000-0000-0000-0000-000000000001', 'x')",
    )  # fmt: skip
    assert found == [FileReference("x", "dam.asset.asset_id=00000000-0000-0000-0000-000000000001", None)]


@pytest.mark.parametrize("name", ["Brx", "a b", "a;drop table b", "", "1a", "a.b.c d", 'a"'])
def test_names_that_are_no_identifiers_are_refused(name):
    for table in (MediaTable(table=name), MediaTable(key_column=name), MediaTable(id_column=name)):
        with pytest.raises(ConfigurationError, match="not a usable name"):
            media_reference_sql(table)


def a_bundle(*binaries: str) -> str:
    """A node's bytes as Jackrabbit writes them: binary values, each -2 and the reference as a text with its length."""
    body = b"\x03\x00\x01jcr:data\x00"
    for each in binaries:
        text = f"dataStore:{each}".encode()
        # What follows may look like more of the id.
        body += b"\xff\xff\xff\xfe" + len(text).to_bytes(2) + text + b"a\x00\x10\\'\xc3\xa9"
    return f"'\\x{body.hex()}'"


def test_ids_of_jackrabbits_data_store_are_found_inside_of_nodes(make_database, postgres):
    one, other, long = "0123" + "a" * 36, "ffff" + "0" * 36, "abcd" + "1" * 60
    found = references(
        make_database, postgres, JACKRABBIT_DATA_STORE_SQL, *BUNDLES,
        f"INSERT INTO default_bundle VALUES ('\\x01', {a_bundle(other, one)}), ('\\x02', {a_bundle()})",
        f"INSERT INTO version_bundle VALUES ('\\x03', {a_bundle(one, one, long)})",
    )  # fmt: skip
    assert found == [
        FileReference(f"0123-{'a' * 36}", "default_bundle.node_id=01", None),
        FileReference(f"0123-{'a' * 36}", "version_bundle.node_id=03", None),
        FileReference(f"abcd-{'1' * 60}", "version_bundle.node_id=03", None),
        FileReference(f"ffff-{'0' * 36}", "default_bundle.node_id=01", None),
    ]


def test_both_queries_can_be_copied_out_as_json(make_database, postgres):
    """A dump wraps the query; an ORDER BY or a comment in it must not break that."""
    server = make_database(postgres, TABLE, *BUNDLES, "INSERT INTO brx_media VALUES (1, 'a', 1, '/a')")
    with server.connect() as connection:
        for sql in (BLOOMREACH.file_reference_sql, JACKRABBIT_DATA_STORE_SQL):
            rows = connection.execute(f"SELECT row_to_json(q)::text FROM ({sql}\n) q".encode()).fetchall()
            assert all(set(json.loads(row[0])) == {"key", "row_id", "size_bytes"} for row in rows)


def test_the_query_of_the_documents_is_the_one_that_is_tested():
    document = (Path(__file__).parents[3] / "docs/site-file.md").read_text(encoding="utf-8")
    block = re.search(r"```sql\n(.*?)```", document, re.DOTALL)
    assert block
    assert textwrap.dedent(block[1]).strip() == JACKRABBIT_DATA_STORE_SQL
