"""Looking at a site without changing anything: what is wrong, all of it, each with its remedy."""

from lc2_backup_dagster.operations.check_site import check_site
from lc2_backup_dagster_tests.operations.tiny_site import picture_of


def look(site):
    return {finding.subject: finding for finding in check_site(site.context)}


def test_a_healthy_site_is_fine_and_nothing_is_left_behind(backed_up):
    before = picture_of(backed_up.site.bucket)
    found = look(backed_up.site)
    assert [finding.ok for finding in found.values()] == [True, True, True]
    assert "PostgreSQL 17" in found["database"].message
    assert "page checksums on" in found["database"].message
    assert "5 backups" in found["repository"].message
    assert picture_of(backed_up.site.bucket) == before


def test_a_site_without_backups_is_fine_and_is_given_no_repository(site):
    found = look(site)
    assert found["repository"].ok
    assert "no backup was made yet" in found["repository"].message
    assert picture_of(site.bucket) == {}


def test_an_empty_library_is_said(make_site, tmp_path):
    (tmp_path / "empty").mkdir()
    found = look(make_site(files__source__store__path=str(tmp_path / "empty")))
    assert found["files"].ok
    assert "holds no file that would be backed up" in found["files"].message


def test_everything_that_is_wrong_is_found_at_once(make_site, tmp_path):
    site = make_site(database__port=1, files__source__store__path=str(tmp_path / "missing"))
    (site.root / "site.key").write_text("not a key")
    site.context.open_repository  # noqa: B018 - the key is read by the look, not before
    found = look(site)
    assert "cannot be reached" in found["database"].message
    assert "is not a directory" in found["files"].message
    assert [finding.ok for finding in found.values()][:2] == [False, False]


def test_a_refused_password_and_a_wrong_key_are_named(backed_up, tmp_path):
    site = backed_up.site.copied(tmp_path).with_environment(TINY_DB_PASSWORD="wrong-password")
    other = site.changed(site.root, destination__encryption__key__path=str(_another_key(tmp_path)))
    found = look(other)
    assert "wrong or missing password" in found["database"].message
    assert "wrong key for site retail/liferay" in found["repository"].message
    assert "wrong-password" not in str(found)


def test_a_missing_right_is_named_with_its_grant(make_site, postgres):
    site = make_site(own=True)
    name = site.values["database"]["name"]
    postgres.create_role("tiny_nobody", password="nobody-secret", options="LOGIN NOREPLICATION")
    poor = site.changed(site.root, database__user="tiny_nobody").with_environment(TINY_DB_PASSWORD="nobody-secret")
    assert 'GRANT pg_read_all_data TO "tiny_nobody"' in look(poor)["database"].message
    postgres.execute("GRANT pg_read_all_data, liferay TO tiny_nobody", database=name)
    assert 'ALTER ROLE "tiny_nobody" REPLICATION' in look(poor)["database"].message


def _another_key(tmp_path):
    from lc2_backup_dagster.clouds.local.key_file import KeyFile

    path = tmp_path / "another.key"
    KeyFile.create(path)
    return path
