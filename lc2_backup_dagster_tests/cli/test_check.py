from lc2_backup_dagster_tests.cli.calling import lc2


def test_a_healthy_site_ends_with_0(backed_up):
    answer = lc2(backed_up.site, "check")
    assert answer.code == 0
    assert answer.out.count("ok") == 4
    assert "PostgreSQL 17" in answer.out
    assert "problem" not in answer.out


def test_a_wrong_file_is_named_with_line_and_field_and_takes_no_other_site_down(copy):
    (copy.file.parent / "broken.yaml").write_text(copy.file.read_text().replace("kind: Site", "kind: Sight"))
    answer = lc2(copy, "check")
    assert answer.code == 4
    assert "broken.yaml:2" in answer.out
    assert "Sight" in answer.out
    assert "5 backups" in answer.out


def test_json_is_one_document_with_every_finding(copy):
    (copy.file.parent / "broken.yaml").write_text("kind: [")
    findings = lc2(copy, "--json", "check").json
    assert [(finding["site"], finding["ok"]) for finding in findings if not finding["ok"]] == [(None, False)]
    assert [finding["subject"] for finding in findings if finding["ok"]] == [
        "site file",
        "database",
        "files",
        "repository",
    ]


def test_offline_connects_to_nothing(make_site):
    site = make_site(database__port=1)
    assert lc2(site, "check", "--offline").code == 0
    answer = lc2(site, "check")
    assert answer.code == 4
    assert "cannot be reached" in answer.out


def test_a_variable_that_is_not_set_is_named_with_its_field(copy):
    poor = copy.changed(copy.root, database__passwordEnv="TINY_UNSET_PASSWORD")
    answer = lc2(poor, "check")
    assert answer.code == 4
    assert "TINY_UNSET_PASSWORD (database.passwordEnv)" in answer.out


def test_a_refused_password_is_a_finding_and_is_not_printed(copy):
    answer = lc2(copy, "check", TINY_DB_PASSWORD="not-the-password")
    assert answer.code == 4
    assert "wrong or missing password" in answer.out


def test_without_a_folder_of_sites_it_says_which_variable_to_set(backed_up):
    answer = lc2(backed_up.site, "check", LC2_BACKUP_SITES="")
    assert answer.code == 1
    assert "LC2_BACKUP_SITES is not set" in answer.err


def test_a_folder_may_be_given_on_the_command_line(backed_up):
    answer = lc2(
        backed_up.site, "--sites", backed_up.site.file.parent, "check", "--offline", LC2_BACKUP_SITES="/nowhere"
    )
    assert answer.code == 0
    assert "retail/liferay" in answer.out
