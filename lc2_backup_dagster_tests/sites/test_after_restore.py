"""What a site file says of what follows a restore: refused where it cannot work, opened without running anything."""

import sys

import pytest

from lc2_backup_dagster.engines.files.restore.invalidation import PathRules
from lc2_backup_dagster.engines.hooks.local.runner import LocalRunner
from lc2_backup_dagster.model.errors import ConfigurationError, ToolFailed
from lc2_backup_dagster.sites.assembly import open_site, required_variables
from lc2_backup_dagster_tests.sites.site_text import SITE, definition_of, parse
from lc2_backup_dagster_tests.sites.test_assembly import ENVIRONMENT


def with_import(fields: str) -> str:
    return f"{SITE}restore:\n  configuration: {{directory: /restored, importCommand: {{{fields}}}}}\n"


def with_cdn(fields: str) -> str:
    return f"{SITE}restore:\n  files: {{cdn: {{{fields}}}}}\n"


def opened(text: str, **environment: str):
    return open_site(definition_of(text), environment={**ENVIRONMENT, **environment}).context.restore


DRUSH = "command: 'drush config:import --source={directory} --yes'"
PURGE = "kind: http, url: 'https://api.cdn.example/purge/'"


def test_a_site_that_names_neither_has_neither():
    restore = opened(SITE)
    assert (restore.configuration_import, restore.cdn) == (None, None)


def test_a_command_is_split_and_runs_with_an_environment_of_its_own():
    text = with_import(f"{DRUSH}, workingDirectory: /srv/drupal, environment: {{ENV: staging}}, passEnv: [DRUSH_TOKEN]")
    told = opened(text, DRUSH_TOKEN="tok-4711", PATH="/usr/bin").configuration_import
    assert told is not None
    assert told.command == ("drush", "config:import", "--source={directory}", "--yes")
    assert told.words("/a b/c") == ("drush", "config:import", "--source=/a b/c", "--yes")
    assert told.timeout_seconds == 1800
    assert isinstance(told.runner, LocalRunner)
    assert str(told.runner.directory) == "/srv/drupal"
    environment = dict(told.runner.environment)
    assert environment == {
        "PATH": "/usr/bin", "HOME": "/", "LANG": "C.UTF-8", "ENV": "staging", "DRUSH_TOKEN": "tok-4711"
    }  # fmt: skip
    assert told.runner.redaction.text("it is tok-4711") == "it is ‹hidden›"
    assert "4711" not in repr(told)


def test_a_cdn_that_is_called_keeps_secrets_as_references():
    text = with_cdn(
        PURGE + ", method: PUT, headers: [{name: X-Key, valueEnv: CDN_TOKEN}], fieldName: objects, more: {zone: a}, "
        "prefix: /binaries/, perCall: 30, everything: /*, everythingAbove: 500"
    )
    cdn = opened(text, CDN_TOKEN="tok-4711").cdn
    assert cdn is not None
    assert cdn.title == "PUT https://api.cdn.example/purge"
    assert cdn.rules == PathRules("/binaries/", 30, "/*", 500)
    assert (cdn.call.url, cdn.call.method, cdn.call.field_name) == ("https://api.cdn.example/purge", "PUT", "objects")
    assert (cdn.call.headers["X-Key"](), cdn.call.more) == ("tok-4711", {"zone": "a"})
    assert "4711" not in repr(cdn)


def test_a_cdn_without_a_word_for_everything_is_the_default():
    assert opened(with_cdn(PURGE)).cdn.rules == PathRules()
    assert PathRules().everything is None


def test_a_command_for_the_cdn_hides_what_it_is_handed():
    script = 'import os, sys; print(os.environ["CDN_TOKEN"]); sys.exit(1)'
    text = with_cdn(f"kind: command, command: ['{sys.executable}', -c, '{script}'], timeout: 20, passEnv: [CDN_TOKEN]")
    cdn = opened(text, CDN_TOKEN="tok-4711").cdn
    assert cdn is not None
    assert cdn.title == f"command {sys.executable}"
    assert cdn.call.timeout_seconds == 20
    with pytest.raises(ToolFailed, match="ended with 1: ‹hidden›"):
        cdn.call(["/a"])


def test_missing_variables_are_told_with_all_others():
    text = (
        f"{SITE}restore:\n  files: {{cdn: {{{PURGE}, headers: [{{name: A, valueEnv: A_TOKEN}}]}}}}\n"
        f"  configuration: {{directory: /restored, importCommand: {{{DRUSH}, passEnv: [B_TOKEN]}}}}\n"
    )
    definition = definition_of(text)
    assert [(one.field, one.variable) for one in required_variables(definition)][1:] == [
        ("restore.files.cdn.headers[0].valueEnv", "A_TOKEN"),
        ("restore.configuration.importCommand.passEnv", "B_TOKEN"),
    ]
    with pytest.raises(ConfigurationError, match=r"B_TOKEN \(restore\.configuration\.importCommand\.passEnv\)"):
        open_site(definition, environment={**ENVIRONMENT, "A_TOKEN": "a"})


@pytest.mark.parametrize(
    ("fields", "field", "told"),
    [
        ("command: 'drush config:import'", "", "does not say where {directory} goes"),
        ("command: ''", ".command", "is empty"),
        (f"{DRUSH}, timeout: 0", ".timeout", "at least 1"),
        (f"{DRUSH}, passEnv: [A], environment: {{A: b}}", "", "has 'A' in environment and in passEnv"),
        (f"{DRUSH}, environment: {{HASH_SALT: hunter2}}", ".environment", "would hold a secret"),
        (f"{DRUSH}, workingDirectory: www", ".workingDirectory", "is not an absolute path"),
        (f"{DRUSH}, shell: true", ".shell", "is not a field here"),
    ],
)  # fmt: skip
def test_a_wrong_import_is_refused_at_its_field(fields, field, told):
    refused(with_import(fields), f"restore.configuration.importCommand{field}", told)


@pytest.mark.parametrize(
    ("fields", "field", "told"),
    [
        ("kind: ftp", ".kind", "'ftp' is not a kind known here; allowed: command or http"),
        ("kind: http", ".url", "is missing"),
        ("kind: http, url: 'http://cdn.example/purge'", ".url", "is no address of a CDN"),
        ("kind: http, url: 'https://me:hunter2@cdn.example/'", ".url", "holds a user or password"),
        ("kind: http, url: 'https://cdn.example/?token=hunter2'", ".url", "is no address of a CDN"),
        (f"{PURGE}, method: GET", ".method", "POST, PUT or DELETE"),
        (f"{PURGE}, headers: [{{name: 'A B', valueEnv: A}}]", ".headers[0].name", "is no header to set"),
        (f"{PURGE}, headers: [{{name: Host, valueEnv: A}}]", ".headers[0].name", "is no header to set"),
        (f"{PURGE}, headers: [{{name: A, value: hunter2}}]", ".headers[0].value", "is not a field here"),
        (f"{PURGE}, more: {{api_token: hunter2}}", ".more", "secret"),
        (f"{PURGE}, perCall: 0", ".perCall", "at least 1"),
        ("kind: command, command: []", ".command", "is empty"),
        ("kind: command, command: purge, url: x", ".url", "is not a field here"),
    ],
)  # fmt: skip
def test_a_wrong_cdn_is_refused_at_its_field(fields, field, told):
    refused(with_cdn(fields), f"restore.files.cdn{field}", told)


def test_a_place_for_files_that_says_nothing_is_refused():
    refused(f"{SITE}restore:\n  files: {{}}\n", "restore.files", "says nothing")


def refused(text: str, field: str, told: str) -> None:
    definition, problems = parse(text)
    assert definition is None
    shown = [str(problem) for problem in problems]
    assert any(field in one and told in one for one in shown), shown
    assert "hunter2" not in str(shown)
