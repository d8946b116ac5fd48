"""Every wrong site file is refused with file, line, field and what is allowed, and nothing secret is repeated."""

import pytest

from lc2_backup_dagster_tests.sites.site_text import SITE, definition_of, line_of, parse, problems_with


def test_the_valid_file_has_no_problem():
    assert str(definition_of().site_id) == "retail/liferay"


def test_a_wrong_cron_names_file_line_field_value_and_what_is_allowed():
    (told,) = problems_with("'0 2 * * *'", "'0 2 * *'")
    assert told.startswith(
        f"sites/retail.yaml:{line_of('0 2 * * *')}: schedules.daily.cron: '0 2 * *' is not a cron expression: it has 4 "
        "fields, not five; allowed: five fields"
    )


@pytest.mark.parametrize(
    ("old", "new", "field", "told"),
    [
        ("Europe/Berlin", "Europe/Berln", "schedules.daily.timeZone", "did you mean Europe/Berlin"),
        ("passwordEnv:", "paswordEnv:", "database.paswordEnv", "did you mean passwordEnv?"),
        ("maxConcurrency:", "max_concurrency:", "files.max_concurrency", "did you mean maxConcurrency?"),
        ("kind: directory", "kind: floppy", "destination.store.kind", "'floppy' is not a kind known here; allowed: "),
        ("    kind: directory\n", "", "destination.store.kind", "is missing; allowed: directory or s3"),
        ("    path: /backups\n", "", "destination.store.path", "is missing: "),
        ("database:\n", "databas:\n", "database", "is missing: The application's PostgreSQL database."),
        ("database:\n", "databas:\n", "databas", "did you mean database?"),
        ("kind: Site", "kind: Sight", "kind", "'Sight' is not allowed here; allowed: Site"),
        ("  port: 5432", "  fileReferenceSql: brx", "database.fileReferenceSql", "is no query; allowed: one SELECT"),
        ("v1alpha1", "v9", "apiVersion", "allowed: backup.lc2.io/v1alpha1"),
        ("application: liferay", "application: lotus", "application", "'lotus' is not an application"),
        ("project: retail", "project: Retail", "project", "lower-case letters"),
        ("project: retail", "project: platform", "project", "is reserved"),
        ("port: 5432", "port: 99999", "database.port", "'99999' is out of range; allowed: at most 65535"),
        ("port: 5432", "port: yes", "database.port", "'yes' is not a number"),
        ("port: 5432", "port: '0x10'", "database.port", "allowed: a whole number"),
        ("name: lportal", "name: 22", "database.name", "'22' is not allowed here; allowed: text (put it in quotes)"),
        ("name: lportal", "name:", "database.name", "stands here empty; allowed: text"),
        ("verify-full", "off", "database.sslMode", "'off' is not allowed here; allowed: disable, allow"),
        ("caFile: /etc/ca.pem", "caFile: ca.pem", "database.caFile", "'ca.pem' is not an absolute path"),
        ("[audit_*]", "['--schema-only']", "database.dumpExcludeTableData", "begins with '-'"),
        ("  daily: 7", "  daily: 0", "retention.daily", "'0' is out of range; allowed: at least 1"),
        ("  daily: 7", "  daily: 7.5", "retention.daily", "allowed: a whole number"),
        ("  daily: 7", "  daily: true", "retention.daily", "allowed: a whole number"),
        ("0.02", "2", "policies.danglingRowsLimitShare", "allowed: at most 1"),
        ("0.02", ".nan", "policies.danglingRowsLimitShare", "allowed: a number"),
        ("enabled: true\n    key", "enabled: 'true'\n    key", "destination.encryption.enabled", "true or false"),
        ("prefix: lc2/", "prefix: lc2", "destination.prefix", "end with a slash"),
        ("prefix: lc2/", "prefix: a/../b/", "destination.prefix", "'.' and '..'"),
        ("'*/.cache/*'", "'[a'", "files.exclude[0]", "has a '[' that is not closed"),
        ("glob: '*/large/*'", "glob: ''", "files.rules[1].glob", "a glob is empty"),
        ("prefix: 20097/41305/\n      ", "", "files.rules[0]", "either prefix or glob"),
        ("rules:\n", "rules: x\n  rule:\n", "files.rules", "a list: items that begin with '- '"),
        ("retention:\n  daily: 7", "retention: [7]\nold:\n  daily: 7", "retention", "a mapping: indented lines"),
        ("sre@retail.example", "Bob", "owners[1]", "'Bob' is not an owner"),
        ("tier: gold", "tier level: gold", "tags", "has the tag 'tier level'"),
        ("path: /backups\n  prefix: lc2/", "path: /library", "destination", "would back themselves up"),
        ("maxConcurrency: 4", "maxConcurrency: {env: CORES}", "files.maxConcurrency", "allowed: a whole number"),
        ("prefix: lc2/", "partBytes: 33554432", "destination", "more than 32 MiB"),
        ("maxConcurrency: 4", "shards: [b/, a/, a/b]", "files.shards", "the shards 'a/' and 'a/b' overlap"),
        ("maxConcurrency: 4", "shards: [a/, a/]", "files.shards", "overlap"),
        ("maxConcurrency: 4", "shards: ['']", "files.shards[0]", "is empty"),
        ("maxConcurrency: 4", "shards: 4", "files.shards", "a list"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_at_its_field(old, new, field, told):
    problems = problems_with(old, new)
    assert any(f": {field}: " in problem and told in problem for problem in problems), problems


def test_every_problem_of_a_file_is_listed_in_the_order_of_lines():
    text = SITE.replace("port: 5432", "port: none").replace("'0 2 * * *'", "never").replace("kind: Site", "kind: Sit")
    _, problems = parse(text)
    assert [problem.field for problem in problems] == ["kind", "database.port", "schedules.daily.cron"]
    lines = [problem.line or 0 for problem in problems]
    assert lines == sorted(lines)


def test_files_that_the_store_cannot_copy_are_refused():
    text = SITE.replace("kind: directory\n    path: /backups", "kind: s3\n    bucket: lc2-backups-dev")
    assert text != SITE
    _, problems = parse(text)
    assert [problem.field for problem in problems] == ["files.protection"], problems
    assert "cannot copy from directory to s3" in str(problems[0])


@pytest.mark.parametrize(
    ("new", "field", "told"),
    [
        ("verification: {maxAgeDays: 2}", "policies.verification.maxAgeDays", "allowed: at least 3"),
        ("verification: {maxAgeDays: 1.5}", "policies.verification.maxAgeDays", "allowed: a whole number"),
        ("verification: {maxBytesPerRun: 0}", "policies.verification.maxBytesPerRun", "allowed: at least 1"),
        ("verification: {sample: {damagedPercent: 0}}", "policies.verification.sample.damagedPercent", "at least 0.01"),
        ("verification: {sample: {confidencePercent: 100}}", "policies.verification.sample.confidencePercent", "99.99"),
        ("verification: {sample: {unit: files}}", "policies.verification.sample.unit", "allowed: objects or bytes"),
    ],
)
def test_a_verification_that_cannot_be_is_refused(new, field, told):
    problems = problems_with("readBack: sample", f"readBack: sample\n  {new}")
    assert any(f": {field}: " in problem and told in problem for problem in problems), problems


@pytest.mark.parametrize(("age", "refused"), [("14", True), ("15", False), ("null", False)])
def test_an_age_that_the_schedule_cannot_keep_is_refused(age, refused):
    text = SITE.replace("schedules:\n", "schedules:\n  verification: {cron: '0 5 * * sun'}\n").replace(
        "readBack: sample", f"readBack: sample\n  verification: {{maxAgeDays: {age}}}"
    )
    definition, problems = parse(text)
    assert (definition is None) is refused
    assert not refused or "policies.verification.maxAgeDays: is too short for a schedule that lets 7 days" in str(
        problems[0]
    )


def test_encryption_without_a_key_is_refused():
    text = SITE.replace("    key:\n      kind: file\n      path: /keys/retail.key\n", "")
    _, problems = parse(text)
    assert "destination.encryption: is on but has no key" in str(problems[0])


SECRET = "hunter2-Correct/Horse+Battery="


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("passwordEnv: RETAIL_DB_PASSWORD", f"password: '{SECRET}'"),
        ("passwordEnv: RETAIL_DB_PASSWORD", f"pass_word: '{SECRET}'"),
        ("passwordEnv: RETAIL_DB_PASSWORD", f"passwordEnv: '{SECRET}'"),
        ("passwordEnv: RETAIL_DB_PASSWORD", f"passwordEnv: ['{SECRET}']"),
        ("passwordEnv: RETAIL_DB_PASSWORD", f"paswordEnvv: '{SECRET}'"),
        ("path: /backups", f"accessKey: '{SECRET}'"),
        ("path: /backups", f"secretAccessKey: '{SECRET}'"),
        ("path: /keys/retail.key", f"path: '{SECRET}'"),
        ("path: /keys/retail.key", f"material: '{SECRET}'"),
        ("host: db.retail.example", f"host: 'postgresql://lc2:{SECRET}@db.retail.example'"),
        ("user: lc2_backup", f"user: *{SECRET}"),
        ("user: lc2_backup", f"user: !{SECRET} x"),
    ],
)
def test_a_secret_in_a_file_is_refused_and_never_repeated(old, new):
    problems = problems_with(old, new)
    assert problems
    for problem in problems:
        assert SECRET not in problem
        assert "hunter2" not in problem


def test_an_inline_secret_is_told_how_to_be_named():
    (told,) = problems_with("passwordEnv: RETAIL_DB_PASSWORD", "password: x")
    assert "database.password: is a secret in a file; allowed: passwordEnv" in told
