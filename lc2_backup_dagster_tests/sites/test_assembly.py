from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from lc2_backup_dagster.applications.registry import application_of
from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.engines.files.verify.sampling import SampleAim, SampleUnit
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.operations.site_context import VerificationPolicy
from lc2_backup_dagster.sites.assembly import open_site, required_variables
from lc2_backup_dagster.sites.loader import load_site
from lc2_backup_dagster.sites.selection import ProtectionRules, file_selection, source_id
from lc2_backup_dagster_tests.sites.site_text import SITE, definition_of
from lc2_backup_dagster_tests.sites.test_loader import DEMO, DEMO_ENVIRONMENT

ENVIRONMENT = {"RETAIL_DB_PASSWORD": "pg-secret", "REPL_PASSWORD": "repl-secret", "ADMIN_PASSWORD": "admin-secret"}


def test_a_site_opens_without_touching_anything():
    site = open_site(definition_of(), environment=ENVIRONMENT)  # none of its places exists
    assert str(site.site_id) == "retail/liferay"
    assert site.application.kind == "liferay"
    assert (site.database.host, site.database.password, site.database.sslmode) == (
        "db.retail.example", "pg-secret", "verify-full"
    )  # fmt: skip
    assert site.context.database.replication == site.database
    assert site.context.database.exclude_table_data == ("audit_*",)
    assert site.context.limits.dangling_rows_share == 0.02
    assert site.context.files.max_concurrency == 4
    assert "lc2/" in site.destination_store.url


def test_the_policy_of_verifications_is_opened_as_it_is_written():
    default = open_site(definition_of(), environment=ENVIRONMENT).context.limits.verification
    assert default == VerificationPolicy()
    text = SITE.replace("schedules:\n", "schedules:\n  verification: {cron: '0 5 * * sun'}\n").replace(
        "readBack: sample",
        "readBack: sample\n  verification: {maxAgeDays: 90, maxBytesPerRun: 1000, sample: {damagedPercent: 0.1, "
        "confidencePercent: 99.9, unit: bytes}}",
    )
    policy = open_site(definition_of(text), environment=ENVIRONMENT).context.limits.verification
    aim = SampleAim(Fraction(1, 1000), Fraction(999, 1000), SampleUnit.BYTES)
    assert policy == VerificationPolicy(timedelta(days=90), timedelta(days=14), 1000, aim)


def test_opening_shows_no_secret():
    assert "secret" not in repr(open_site(definition_of(), environment=ENVIRONMENT))


def test_all_missing_variables_are_told_at_once_with_their_fields():
    text = SITE.replace("  sslMode", "  replicationUser: repl\n  replicationPasswordEnv: REPL_PASSWORD\n  sslMode")
    definition = definition_of(text)
    assert [(needed.field, needed.variable) for needed in required_variables(definition)] == [
        ("database.passwordEnv", "RETAIL_DB_PASSWORD"),
        ("database.replicationPasswordEnv", "REPL_PASSWORD"),
    ]
    with pytest.raises(ConfigurationError) as raised:
        open_site(definition, environment={"RETAIL_DB_PASSWORD": ""})
    assert "RETAIL_DB_PASSWORD (database.passwordEnv), REPL_PASSWORD (database.replicationPasswordEnv)" in str(
        raised.value
    )
    replication = open_site(definition, environment=ENVIRONMENT).context.database.replication
    assert (replication.user, replication.password) == ("repl", "repl-secret")


def test_the_repository_opens_under_the_key_of_the_file(tmp_path):
    text = SITE.replace("path: /backups", f"path: {tmp_path}\n    create: true").replace(
        "path: /keys/retail.key", f"path: {tmp_path / 'retail.key'}"
    )
    site = open_site(definition_of(text), environment=ENVIRONMENT)
    with pytest.raises(ConfigurationError, match="does not exist"):
        site.context.open_repository(True)
    KeyFile.create(tmp_path / "retail.key")
    repository = site.context.open_repository(True)
    assert repository.site == site.site_id
    assert repository.sealer.key_id
    assert (tmp_path / "lc2" / "lc2-repository.json").is_file()


def test_a_site_without_encryption_needs_no_key(tmp_path):
    text = SITE.replace("path: /backups", f"path: {tmp_path}").replace(
        "enabled: true\n    key", "enabled: false\n    key"
    )
    site = open_site(definition_of(text), environment=ENVIRONMENT)
    assert site.context.open_repository(True).sealer.key_id is None


def test_the_first_rule_that_fits_protects_a_key():
    rules = ProtectionRules(definition_of().files)
    assert rules.protection_of("20097/41305/1/1.0") == "store"
    assert rules.protection_of("20097/413051/1/1.0") == "client"
    assert rules.protection_of("20097/20121/large/1.0") == "store"
    assert rules.protection_of("20097/20121/1/1.0") == "client"


def test_excludes_of_a_file_replace_those_of_the_application():
    keys = ["1/2/3/1.0", "1/2/thumbnails/3", "1/2/.cache/3", "1/0/adaptive/3", "1/0/content/3"]

    def selected(text: str) -> list[str]:
        definition = definition_of(text)
        selection = file_selection(definition.files, definition.application_kind)
        return [key for key in keys if selection.selects(key)]

    assert selected(SITE.replace("  exclude: ['*/.cache/*']\n", "")) == ["1/2/3/1.0", "1/0/content/3"]
    assert selected(SITE) == ["1/2/3/1.0", "1/2/thumbnails/3", "1/0/content/3"]
    assert selected(SITE.replace("exclude: ['*/.cache/*']", "exclude: []")) == [
        "1/2/3/1.0", "1/2/thumbnails/3", "1/2/.cache/3", "1/0/content/3"
    ]  # fmt: skip
    assert "1/0/adaptive/3" in selected(SITE.replace("GeneratedFiles: true", "GeneratedFiles: false"))
    assert selected(SITE.replace("include: []", "include: ['1/2/*']")) == ["1/2/3/1.0", "1/2/thumbnails/3"]


def test_the_query_of_a_file_replaces_that_of_the_application():
    def query(told: str) -> str | None:
        text = SITE.replace("  dumpExcludeTableData:", f"{told}  dumpExcludeTableData:")
        return open_site(definition_of(text), environment=ENVIRONMENT).application.file_reference_sql

    assert query("") == application_of("liferay").file_reference_sql
    assert query("  fileReferenceSql: none\n") is None
    told = "  fileReferenceSql: |\n    SELECT key, id AS row_id,\n           NULL::bigint AS size_bytes FROM media\n"
    assert (query(told) or "").startswith("SELECT key, id AS row_id,\n")


def test_what_decides_which_files_are_captured_and_how_has_a_name_that_changes_with_it():
    def settings(old: str = "", new: str = "") -> str:
        return open_site(definition_of(SITE.replace(old, new, 1)), environment=ENVIRONMENT).context.files.settings

    same = [
        ("maxConcurrency: 4", "maxConcurrency: 5"),
        ("maxConcurrency: 4", "shards: [a/]"),
        ("  daily: 7", "  daily: 8"),
    ]
    assert {settings(*change) for change in same} == {settings()}
    other = [
        ("*/.cache/*", "*/.tmp/*"),
        ("protection: client", "protection: store"),
        ("path: /library", "path: /other"),
    ]
    assert len({settings(), *(settings(*change) for change in other)}) == 4


def test_shards_are_opened_as_they_are_written():
    text = SITE.replace("maxConcurrency: 4", "shards: [b/, a/]")
    assert open_site(definition_of(text), environment=ENVIRONMENT).context.files.shards == ("b/", "a/")


def test_a_source_keeps_its_name_when_its_server_moves():
    text = SITE.replace("kind: directory", "kind: s3").replace("path: /backups", "bucket: lc2-backups-dev")
    text = text.replace("path: /library", "bucket: liferay-doclib-dev\n      endpoint: {env: S3}")
    names = {source_id(definition_of(text, S3=f"http://127.0.0.1:{port}").files) for port in (9000, 9001)}
    assert names == {"s3:liferay-doclib-dev:data/document_library/"}


def test_restores_go_to_the_site_s_own_server_unless_the_file_says_otherwise():
    server = open_site(definition_of(), environment=ENVIRONMENT).context.restore.server
    assert (server.host, server.user, server.password, server.database) == (
        "db.retail.example", "lc2_backup", "pg-secret", "postgres"
    )  # fmt: skip
    text = SITE + "restore:\n  database: {host: other, user: admin, passwordEnv: ADMIN_PASSWORD}\n"
    server = open_site(definition_of(text), environment=ENVIRONMENT).context.restore.server
    assert (server.host, server.user, server.password) == ("other", "admin", "admin-secret")


def test_a_role_without_a_password_of_its_own_gets_nobody_else_s():
    text = SITE + "restore:\n  database: {user: admin}\n"
    assert open_site(definition_of(text), environment=ENVIRONMENT).context.restore.server.password is None
    text = SITE.replace("  sslMode", "  replicationUser: repl\n  sslMode")
    assert open_site(definition_of(text), environment=ENVIRONMENT).context.database.replication.password is None


def test_restored_files_go_where_the_launch_or_the_file_says(tmp_path):
    restore = open_site(definition_of(), environment=ENVIRONMENT).context.restore
    assert restore.files_bucket is None
    with pytest.raises(ConfigurationError, match="names no place for restored files"):
        restore.open_files_target(None, "x/")
    assert str(tmp_path) in restore.open_files_target(str(tmp_path), "").url
    with pytest.raises(ConfigurationError, match="relative/place"):
        restore.open_files_target("relative/place", "")

    text = SITE + f"restore:\n  files:\n    store: {{kind: directory, path: {tmp_path}}}\n"
    restore = open_site(definition_of(text), environment=ENVIRONMENT).context.restore
    assert restore.files_bucket == str(tmp_path)
    restore.open_files_target(None, "point/").put("a", b"content")
    assert (tmp_path / "point" / "a").read_bytes() == b"content"
    assert not Path("/library").exists()


def test_the_demo_site_opens_with_the_demo_s_variables():
    definition, problems = load_site(DEMO / "retail-liferay.yaml", environment=DEMO_ENVIRONMENT)
    assert definition, problems
    secrets = {needed.variable: "x-secret" for needed in required_variables(definition)}
    site = open_site(definition, environment=secrets)
    assert "liferay-doclib-dev" in site.files_source.url
    assert "lc2-backups-dev" in site.destination_store.url
    assert site.context.restore.files_bucket == "liferay-doclib-restored-dev"
    assert site.destination_store.can_copy_from(site.files_source)


def test_files_in_directories_are_opened_as_trees_and_the_repository_as_objects(tmp_path):
    site = open_site(definition_of(), environment=ENVIRONMENT)

    assert site.files_source.capabilities.posix
    assert site.context.restore.open_files_target(str(tmp_path), "below/").capabilities.posix
    assert not site.destination_store.capabilities.posix
