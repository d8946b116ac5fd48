import pytest

from lc2_backup_dagster.applications.liferay.application import LiferayApplication
from lc2_backup_dagster.model.application import FileReference
from lc2_backup_dagster.model.globs import GlobSet

LIFERAY = LiferayApplication()
ENTRY = "CREATE TABLE dlfileentry (fileentryid bigint, ctcollectionid bigint, name varchar(255), repositoryid bigint)"
VERSION = """
CREATE TABLE dlfileversion (
    fileversionid bigint, ctcollectionid bigint, companyid bigint, repositoryid bigint, folderid bigint,
    fileentryid bigint, version varchar(75), size_ bigint{store_uuid})
"""
UUID = "0a1b2c3d-1111-2222-3333-444455556666"


@pytest.mark.parametrize("folder", ["document_thumbnail", "document_preview", "adaptive"])
@pytest.mark.parametrize("library", ["", "data/document_library/"])
def test_generated_files_are_matched(folder, library):
    assert GlobSet(LIFERAY.generated_globs).match(f"{library}20097/0/{folder}/40112/1.png")


@pytest.mark.parametrize(
    "key",
    [
        "20097/0/40112/1.0",
        "20097/0/wiki/attachment.pdf",
        "20097/20121/document_preview/1.0",
        "20097/0/document_previews/1.png",
        "x/20097/0/adaptive/1.png",
        "acme/0/adaptive/1.png",
        "1/2/0/adaptive/1.png",
        "20097/00/adaptive/1.png",
        "data/20097/0/adaptive/1.png",
    ],
)
def test_everything_else_of_repository_0_and_elsewhere_is_kept(key):
    assert not GlobSet(LIFERAY.generated_globs).match(key)


def references(make_database, postgres, *statements, store_uuid=True):
    import psycopg

    version = VERSION.format(store_uuid=", storeuuid varchar(255)" if store_uuid else "")
    server = make_database(postgres, ENTRY, version, *statements)
    with psycopg.connect(server.conninfo(), password=server.password) as connection:
        return [FileReference(*row) for row in connection.execute(LIFERAY.file_reference_sql)]


def test_every_version_names_its_file_in_the_order_of_bytes(make_database, postgres):
    found = references(
        make_database,
        postgres,
        "INSERT INTO dlfileentry VALUES (1, 0, '101', 20121), (2, 0, 'B', 20121), (3, 0, 'a', 20121)",
        f"""INSERT INTO dlfileversion VALUES
            (11, 0, 20097, 20121, 0, 1, '1.0', 5, NULL),
            (12, 0, 20097, 20121, 0, 1, '1.10', 6, '{UUID}'),
            (13, 0, 20097, 20121, 0, 1, '1.1', 7, ''),
            (21, 0, 20097, 20121, 0, 2, '1.0', NULL, NULL),
            (31, 0, 20097, 20121, 0, 3, '1.0', 9, NULL),
            (99, 0, 20097, 20121, 0, 9, '1.0', 9, NULL)""",
    )
    assert found == [
        FileReference("20097/20121/101/1.0", "dlfileversion.fileversionid=11", 5),
        FileReference("20097/20121/101/1.1", "dlfileversion.fileversionid=13", 7),
        FileReference(f"20097/20121/101/1.10~{UUID}", "dlfileversion.fileversionid=12", 6),
        FileReference("20097/20121/B/1.0", "dlfileversion.fileversionid=21", None),
        FileReference("20097/20121/a/1.0", "dlfileversion.fileversionid=31", 9),
    ]
    assert [one.key.encode() for one in found] == sorted(one.key.encode() for one in found)


def test_a_liferay_without_store_uuid_is_read_with_the_same_text(make_database, postgres):
    found = references(
        make_database,
        postgres,
        "INSERT INTO dlfileentry VALUES (1, 0, '101', 20121)",
        "INSERT INTO dlfileversion VALUES (11, 0, 20097, 20121, 0, 1, '1.0', 5)",
        store_uuid=False,
    )
    assert found == [FileReference("20097/20121/101/1.0", "dlfileversion.fileversionid=11", 5)]


def test_publications_do_not_count_a_row_twice(make_database, postgres):
    found = references(
        make_database,
        postgres,
        "INSERT INTO dlfileentry VALUES (1, 0, '101', 20121), (1, 7, '101', 20121)",
        "INSERT INTO dlfileversion VALUES (11, 0, 20097, 20121, 0, 1, '1.0', 5, NULL), "
        "(11, 7, 20097, 20121, 0, 1, '1.0', 5, NULL)",
    )
    assert len(found) == 1


def test_files_in_folders_have_two_layouts_of_which_a_sample_shows_both(make_database, postgres):
    import psycopg

    server = make_database(
        postgres,
        ENTRY,
        VERSION.format(store_uuid=", storeuuid varchar(255)"),
        "INSERT INTO dlfileentry VALUES (1, 0, '101', 20121), (2, 0, '102', 20121)",
        "INSERT INTO dlfileversion VALUES (11, 0, 20097, 20121, 0, 1, '1.0', 5, NULL), "
        "(21, 0, 20097, 20121, 777, 2, '1.0', 6, NULL)",
    )
    repository, folder = LIFERAY.file_reference_layouts
    assert repository.sql == LIFERAY.file_reference_sql
    with psycopg.connect(server.conninfo(), password=server.password) as connection:
        keys = {each.name: [row[0] for row in connection.execute(each.sql)] for each in (repository, folder)}
        samples = {each.name: connection.execute(each.sample_sql).fetchall() for each in (repository, folder)}
    assert keys == {
        "repository": ["20097/20121/101/1.0", "20097/20121/102/1.0"],
        "folder": ["20097/20121/101/1.0", "20097/777/102/1.0"],
    }
    assert samples == {"repository": [("20097/20121/102/1.0",)], "folder": [("20097/777/102/1.0",)]}


def test_a_restore_is_followed_by_a_reindex():
    assert any("reindex required" in note for note in LIFERAY.after_restore_notes)
