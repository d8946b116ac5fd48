"""What the service knows of Drupal: which files, which rows name them, what never leaves the source."""

import json
import re
import textwrap
from pathlib import Path

import pytest

from lc2_backup_dagster.applications.drupal.application import DrupalApplication
from lc2_backup_dagster.model.application import FileReference
from lc2_backup_dagster.model.globs import GlobSet
from lc2_backup_dagster.sites.selection import file_selection
from lc2_backup_dagster_tests.sites.site_text import SITE, definition_of

DRUPAL = DrupalApplication()
TABLES = (
    "CREATE TABLE file_managed (fid serial PRIMARY KEY, uri varchar(255) NOT NULL, filesize bigint, "
    "status smallint NOT NULL)",
    "CREATE TABLE file_usage (fid bigint, module varchar(50), type varchar(64), id varchar(64), count bigint)",
)
FILES = "files:\n  source:\n    store:\n      kind: directory\n      path: /drupal\n"


def selection_of(more: str = ""):
    start, end = SITE.index("files:\n"), SITE.index("schedules:\n")
    definition = definition_of((SITE[:start] + FILES + more + SITE[end:]).replace(": liferay", ": drupal"))
    assert definition.files is not None
    return file_selection(definition.files, definition.application_kind)


@pytest.mark.parametrize(
    "key",
    [
        "sites/default/files/2024-03/report.pdf",
        "sites/default/files/styles.css",
        "sites/default/files/2024-03/styles/plan.png",
        "sites/default/files/css_guide.pdf",
        "sites/default/files/config_Xy1/sync/core.extension.yml",
        "sites/default/files/.htaccess",
        "sites/default/private/contract.pdf",
        "sites/default/private/css/a.css",
        "sites/default/files/my-settings.php.txt",
    ],
)
def test_public_and_private_files_are_backed_up(key):
    assert selection_of().selects(key)


@pytest.mark.parametrize(
    "key",
    [
        "index.php",
        "sites/default/settings.php",
        "sites/default/services.yml",
        "sites/default/filesystem/x",
        "sites/example/files/x.pdf",
        "vendor/sites/default/files/x.pdf",
        "sites/default/files/tmp/upload.part",
        "sites/default/files/css/css_ab12.css",
        "sites/default/files/js/js_ab12.js.gz",
        "sites/default/files/styles/large/public/2024-03/plan.png.webp",
        "sites/default/files/php/twig/1/x.php",
        "sites/default/private/styles/large/private/plan.png",
    ],
)
def test_code_generated_and_temporary_files_are_not(key):
    assert not selection_of().selects(key)


@pytest.mark.parametrize(
    "key",
    [
        "settings.php",
        "sites/default/settings.php",
        "sites/default/settings.local.php",
        "sites/default/files/settings.php",
        "sites/default/private/backup/settings.acquia.php",
    ],
)
@pytest.mark.parametrize(
    "more", ["", "  include: []\n  exclude: []\n  excludeGeneratedFiles: false\n", "  include: ['*settings*.php']\n"]
)
def test_no_site_file_can_have_settings_backed_up(key, more):
    assert not selection_of(more).selects(key)


def test_a_site_file_widens_what_is_backed_up():
    assert selection_of("  include: []\n").selects("sites/example/files/x.pdf")
    assert selection_of("  include: ['sites/example/files/*']\n").selects("sites/example/files/x.pdf")
    assert not selection_of("  include: ['sites/example/files/*']\n").selects("sites/default/files/x.pdf")
    generated = selection_of("  excludeGeneratedFiles: false\n")
    assert generated.selects("sites/default/files/styles/large/public/plan.png")
    assert not generated.selects("sites/default/files/tmp/upload.part")


def references(make_database, postgres, *statements):
    with make_database(postgres, *TABLES, *statements).connect() as connection:
        return [FileReference(*row) for row in connection.execute(DRUPAL.file_reference_sql)]


def test_rows_name_files_of_both_folders_in_the_order_of_bytes(make_database, postgres):
    found = references(
        make_database,
        postgres,
        r"""INSERT INTO file_managed VALUES
            (1, 'public://2024-03/a.pdf', 10, 1),
            (2, 'private://b.pdf', NULL, 1),
            (3, 'public://Z.pdf', 0, 1),
            (4, 'public://Ünïcode ☃ 100%25.pdf', 4, 1),
            (5, 'public://a b+c&d#e?f.pdf', 5, 1),
            (6, 'public:///twice//x.pdf/', 6, 1),
            (7, 'public://\back\slash.pdf', 7, 1),
            (8, 'public://2024-03/a.pdf', 10, 1),
            (9, 'private://public://odd.pdf', 9, 1)""",
    )
    assert found == [
        FileReference("sites/default/files/2024-03/a.pdf", "file_managed.fid=1", 10),
        FileReference("sites/default/files/2024-03/a.pdf", "file_managed.fid=8", 10),
        FileReference("sites/default/files/Z.pdf", "file_managed.fid=3", 0),
        FileReference("sites/default/files/a b+c&d#e?f.pdf", "file_managed.fid=5", 5),
        FileReference("sites/default/files/back\\slash.pdf", "file_managed.fid=7", 7),
        FileReference("sites/default/files/twice/x.pdf", "file_managed.fid=6", 6),
        FileReference("sites/default/files/Ünïcode ☃ 100%25.pdf", "file_managed.fid=4", 4),
        FileReference("sites/default/private/b.pdf", "file_managed.fid=2", None),
        FileReference("sites/default/private/public:/odd.pdf", "file_managed.fid=9", 9),
    ]
    assert [one.key.encode() for one in found] == sorted(one.key.encode() for one in found)


def test_rows_of_other_schemes_and_unused_temporary_files_name_nothing(make_database, postgres):
    found = references(
        make_database,
        postgres,
        """INSERT INTO file_managed VALUES
            (1, 'temporary://a.pdf', 1, 1), (2, 's3://b.pdf', 1, 1), (3, 'publicity://c.pdf', 1, 1),
            (4, 'https://example.com/public://d.pdf', 1, 1),
            (5, 'public://unsaved.pdf', 1, 0), (6, 'public://used.pdf', 1, 0), (7, 'public://given-up.pdf', 1, 0)""",
        "INSERT INTO file_usage VALUES (6, 'file', 'node', '1', 1), (6, 'file', 'node', '2', 1), "
        "(7, 'file', 'node', '1', 0)",
    )
    assert found == [FileReference("sites/default/files/used.pdf", "file_managed.fid=6", 1)]


def test_the_query_can_be_copied_out_as_json(make_database, postgres):
    """A dump wraps the query; an ORDER BY or a comment in it must not break that."""
    server = make_database(postgres, *TABLES, "INSERT INTO file_managed VALUES (1, 'public://a', 1, 1)")
    with server.connect() as connection:
        query = f"SELECT row_to_json(q)::text FROM ({DRUPAL.file_reference_sql}\n) q"
        (row,) = connection.execute(query.encode()).fetchall()
    assert json.loads(row[0]) == {"key": "sites/default/files/a", "row_id": "file_managed.fid=1", "size_bytes": 1}


def test_an_export_is_kept_byte_for_byte_but_never_settings():
    content = b"smtp_password: secret\n"
    cleaned = DRUPAL.clean_configuration("smtp.settings.yml", content)
    assert (cleaned.content, cleaned.left_out) == (content, ())
    excluded = GlobSet(DRUPAL.configuration_excludes)
    assert [path for path in ("core.extension.yml", "language/de/system.site.yml", ".htaccess", "settings.php")
            if excluded.match(path)] == [".htaccess", "settings.php"]  # fmt: skip
    assert DRUPAL.configuration_required == ("core.extension.yml",)


def test_people_are_told_what_a_restore_leaves_to_them():
    notes = " ".join(DRUPAL.after_restore_notes)
    for told in ("drush cache:rebuild", "drush config:import", "search-api:index", "settings.php", "hash_salt"):
        assert told in notes


def test_the_hook_of_the_documents_is_one_that_a_site_file_takes():
    document = (Path(__file__).parents[3] / "docs/site-file.md").read_text(encoding="utf-8")
    block = re.search(r"## Drupal\n.*?```yaml\n(.*?)```", document, re.DOTALL)
    assert block
    definition = definition_of(SITE.replace(": liferay", ": drupal") + textwrap.dedent("  " + block[1].strip()) + "\n")
    (hook,) = definition.hooks
    assert hook.command[1] == "config:export"
    assert f"--destination={hook.artifact_path}" in hook.command
