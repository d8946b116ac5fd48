"""The hooks of a site file: what is refused when it is read, and what they become."""

import pytest

from lc2_backup_dagster.engines.hooks.cluster.access import ClusterAccess
from lc2_backup_dagster.engines.hooks.cluster.job_runner import JobRunner
from lc2_backup_dagster.engines.hooks.cluster.job_template import SecretKey
from lc2_backup_dagster.engines.hooks.cluster.pod_runner import PodRunner, PodSelector
from lc2_backup_dagster.engines.hooks.hook import Hook
from lc2_backup_dagster.engines.hooks.local.runner import LocalRunner
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.sites.assembly import open_site, required_variables
from lc2_backup_dagster_tests.sites.site_text import SITE, definition_of, parse
from lc2_backup_dagster_tests.sites.test_assembly import ENVIRONMENT

IMAGE = "registry.example/shop/drupal:1.2.3"
JOB = f"runner: {{kind: job, namespace: shop, image: '{IMAGE}'}}"


CONFIGURATION = "configuration: {source: {kind: directory, path: /config}}\n"


def with_hook(fields: str, *, more: str = "") -> str:
    return f"{SITE}{CONFIGURATION}hooks:\n  - {{name: export, command: drush cex, {fields}}}\n{more}"


def opened(fields: str, **environment: str):
    text = with_hook(fields) if fields else SITE
    if "storeArtifact" in fields:
        text = text.replace(CONFIGURATION, "configuration: {source: {kind: hooks}}\n")
    return open_site(definition_of(text), environment={**ENVIRONMENT, **environment}).context.hooks


def test_a_site_without_hooks_has_none():
    assert opened("") == ()


def test_a_hook_is_opened_with_its_defaults():
    (bound,) = opened("timeout: 300", PATH="/opt/bin", HOME="/home/lc2")
    assert bound.hook == Hook("export", ("drush", "cex"), 300)
    assert bound.component is Component.CONFIGURATION
    assert isinstance(bound.runner, LocalRunner)
    assert bound.runner.environment == {"PATH": "/opt/bin", "HOME": "/home/lc2", "LANG": "C.UTF-8"}


def test_a_command_is_a_list_or_a_text_of_words():
    def command(told: str) -> tuple[str, ...]:
        return definition_of(with_hook("timeout: 1").replace("drush cex", told)).hooks[0].command

    assert command("'drush config:export --destination=\"/tmp/my config\" -y'") == (
        "drush", "config:export", "--destination=/tmp/my config", "-y"
    )  # fmt: skip
    assert command("[drush, 'a b', $HOME]") == ("drush", "a b", "$HOME")


def test_variables_are_handed_on_and_hidden():
    (bound,) = opened("environment: {SITE_URI: shop.example}, passEnv: [DRUSH_TOKEN]", DRUSH_TOKEN="tok-4711")
    assert bound.runner.environment["SITE_URI"] == "shop.example"
    assert bound.runner.environment["DRUSH_TOKEN"] == "tok-4711"
    assert bound.runner.redaction.text("it is tok-4711\npassword=abc") == "it is ‹hidden›\npassword=‹hidden›"
    assert "4711" not in repr(bound)


def test_missing_variables_of_hooks_are_told_with_all_others():
    definition = definition_of(with_hook("passEnv: [A_TOKEN, B_TOKEN]"))
    assert [(one.field, one.variable) for one in required_variables(definition)][1:] == [
        ("hooks[0].passEnv", "A_TOKEN"),
        ("hooks[0].passEnv", "B_TOKEN"),
    ]
    with pytest.raises(ConfigurationError, match=r"B_TOKEN \(hooks\[0\]\.passEnv\)"):
        open_site(definition, environment={**ENVIRONMENT, "A_TOKEN": "a"})


def test_hooks_keep_their_order():
    more = "  - {name: a, command: 'true', before: files}\n  - {name: b, command: 'true', before: database_dump}\n"
    hooks = open_site(definition_of(with_hook("timeout: 1", more=more)), environment=ENVIRONMENT).context.hooks
    assert [(bound.hook.name, str(bound.component)) for bound in hooks] == [
        ("export", "configuration"), ("a", "files"), ("b", "database_dump")
    ]  # fmt: skip


def test_a_hook_in_a_pod():
    (bound,) = opened(
        "storeArtifact: true, artifactPath: /tmp/config/, workingDirectory: /var/www, runner: {kind: pod, "
        "namespace: shop, labels: {app.kubernetes.io/name: drupal}, container: php, pick: only, "
        "kubeconfig: /etc/kube/config, context: prod}"
    )
    assert (bound.hook.store_artifact, bound.hook.artifact_path) == (True, "/tmp/config")
    runner = bound.runner
    assert isinstance(runner, PodRunner)
    assert runner.selector == PodSelector({"app.kubernetes.io/name": "drupal"}, "php", only=True)
    access = runner.access
    assert (access.namespace, str(access.kubeconfig), access.context) == ("shop", "/etc/kube/config", "prod")
    assert str(runner.directory) == "/var/www"


def test_a_hook_in_a_job():
    secrets = "secrets: [{name: DB_PASSWORD, secretName: drupal-db, key: password}]"
    (bound,) = opened(JOB.replace("}", f", {secrets}, runAsUser: 1000}}"))
    runner = bound.runner
    assert isinstance(runner, JobRunner)
    assert runner.access == ClusterAccess("shop")
    template = runner.template
    assert (template.image, template.secrets) == (IMAGE, (SecretKey("DB_PASSWORD", "drupal-db", "password"),))
    assert (str(template.site), template.environment, template.run_as_user) == ("retail/liferay", "prod", 1000)


@pytest.mark.parametrize(
    ("fields", "field", "told"),
    [
        ("storeArtifact: true", "hooks[0]", "has storeArtifact without artifactPath"),
        ("artifactPath: config", "hooks[0].artifactPath", "is no place for an artefact; allowed: an absolute path"),
        ("artifactPath: /", "hooks[0].artifactPath", "is no place for an artefact"),
        ("artifactPath: /tmp/../etc", "hooks[0].artifactPath", "without '..'"),
        ("storeArtifact: true, artifactPath: /tmp/a, before: files", "hooks[0]", "stores an artefact before files"),
        ("timeout: 0", "hooks[0].timeout", "at least 1"),
        ("timeout: 1.5", "hooks[0].timeout", "a whole number"),
        ("before: database", "hooks[0].before", "configuration, database_dump or files"),
        ("retries: 3", "hooks[0].retries", "is not a field here"),
        ("passEnv: [a-b]", "hooks[0].passEnv[0]", "is not the name of an environment variable"),
        ("passEnv: [A], environment: {A: b}", "hooks[0]", "has 'A' in environment and in passEnv"),
        ("environment: {a-b: c}", "hooks[0].environment", "has the variable 'a-b'"),
        ("environment: {DB_PASSWORD: hunter2}", "hooks[0].environment.DB_PASSWORD", "is a secret in a file"),
        ("environment: {HASH_SALT: hunter2}", "hooks[0].environment", "would hold a secret, 'HASH_SALT'"),
        ("workingDirectory: www", "hooks[0].workingDirectory", "is not an absolute path"),
        ("runner: {kind: ssh}", "hooks[0].runner.kind", "'ssh' is not a kind known here; allowed: job or local or pod"),
        ("runner: {}", "hooks[0].runner.kind", "is missing"),
        ("runner: {kind: pod, namespace: shop}", "hooks[0].runner.labels", "is missing: Labels that the pod has"),
        ("runner: {kind: pod, namespace: shop, labels: {}}", "hooks[0].runner.labels", "would choose any pod"),
        ("runner: {kind: pod, namespace: shop, labels: {a: 'b,c=d'}}", "hooks[0].runner.labels", "has the label 'a'"),
        ("runner: {kind: pod, namespace: 'a/../b', labels: {a: b}}", "hooks[0].runner.namespace", "is not a name"),
        (JOB.replace(":1.2.3", ""), "hooks[0].runner.image", "is not pinned"),
        (JOB.replace("1.2.3", "latest"), "hooks[0].runner.image", "is not pinned"),
        (JOB.replace("registry.example/shop/", ""), "hooks[0].runner.image", "does not name its registry"),
        (JOB.replace("registry.example/shop/", "shop/"), "hooks[0].runner.image", "does not name its registry"),
        (JOB.replace("registry.example/shop/", "docker.io/"), "hooks[0].runner.image", "is a library image"),
        (JOB.replace("registry.example/shop/", "docker.io/library/"), "hooks[0].runner.image", "is a library image"),
        (JOB.replace("}", ", runAsUser: 0}"), "hooks[0].runner.runAsUser", "at least 1"),
        (JOB.replace("}", ", memory: much}"), "hooks[0].runner.memory", "is not a quantity"),
    ],
)  # fmt: skip
def test_a_wrong_hook_is_refused_at_its_field(fields, field, told):
    definition, problems = parse(with_hook(fields))
    assert definition is None
    shown = [str(problem) for problem in problems]
    assert any(f": {field}: " in one and told in one for one in shown), shown
    assert "hunter2" not in str(shown)


@pytest.mark.parametrize("command", ["''", "[]", "'drush \"cex'", "3"])
def test_a_command_that_is_none_is_refused(command):
    definition, problems = parse(with_hook("timeout: 1").replace("drush cex", command))
    assert definition is None
    assert "hooks[0].command" in str(problems[0])


def test_two_hooks_of_one_name_are_refused():
    definition, problems = parse(with_hook("timeout: 1", more="  - {name: export, command: ls}\n"))
    assert definition is None
    assert "hooks: has 'export' twice; allowed: a name of its own for every hook" in str(problems[0])


@pytest.mark.parametrize(
    "image",
    ["localhost:5000/shop:1", "docker.io/acme/shop:1", f"registry.example/shop@sha256:{'a' * 64}", "ghcr.io/a/b/c:v1"],
)
def test_images_of_an_own_registry_are_taken(image):
    assert definition_of(with_hook(JOB.replace(IMAGE, image))).hooks[0].runner.image == image


def test_a_hook_that_would_never_run_is_refused():
    _, problems = parse(with_hook("timeout: 1").replace(CONFIGURATION, ""))
    assert "hooks: has 'export' before configuration, which the site does not have" in str(problems[0])


def test_a_configuration_of_hooks_needs_a_hook_that_stores_an_artefact():
    text = with_hook("timeout: 1").replace("{kind: directory, path: /config}", "{kind: hooks}")
    _, problems = parse(text)
    assert "configuration.source: is what hooks leave behind, but no hook has storeArtifact" in str(problems[0])
    definition_of(text.replace("timeout: 1", "storeArtifact: true, artifactPath: /tmp/config"))
