"""``docs/add-an-application.md`` is true: one folder and one line make an application that can be restored."""

import filecmp
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import lc2_backup_dagster
from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.demo.servers.postgres import PostgresServer

PACKAGE = Path(lc2_backup_dagster.__file__).parent
DOCUMENT = PACKAGE.parent / "docs" / "add-an-application.md"
PASSWORD = "wiki-secret-77aa"

# What a run of Dagster does, without Dagster; the definitions are built as well.
SCRIPT = """
import json, sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.operations.capture.bind_recovery_point import bind_recovery_point
from lc2_backup_dagster.operations.capture.configuration import capture_configuration
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster.operations.capture.files import capture_site_files
from lc2_backup_dagster.operations.restore.request import RestoreRequest
from lc2_backup_dagster.operations.restore.run import restore
from lc2_backup_dagster.orchestration.build import build_definitions
from lc2_backup_dagster.repository.record import Initiator
from lc2_backup_dagster.sites.assembly import open_site
from lc2_backup_dagster.sites.loader import load_sites
import os
folder, target = Path(sys.argv[1]), Path(sys.argv[2])
loaded = load_sites([folder], environment=os.environ)
assert not loaded.problems, [str(each) for each in loaded.problems]
definitions = build_definitions(loaded.sites, now=datetime.now(UTC))
context = open_site(loaded.sites[0], environment=os.environ).context
me = Initiator(actor="test", source="cli")
while (now := datetime.now(UTC)).hour == 23 and now.minute > 57:
    pass
asked = dict(window=Window.around(now, length=WindowLength.DAILY), asked_at=now, initiator=me)
for capture in (capture_database_dump, capture_site_files, capture_configuration):
    capture(context, **asked)
point = bind_recovery_point(context, window=asked["window"], initiator=me)
restored = restore(
    context,
    RestoreRequest(
        point.backup.backup_id,
        target_database="wiki_restored",
        files_directory=target / "attachments",
        configuration_directory=target / "settings",
    ),
    now=now,
    initiator=me,
)
print(json.dumps({
    "assets": sorted(spec.key.to_user_string() for spec in definitions.resolve_all_asset_specs()),
    "point": point.backup.summary,
    "notes": list(restored.plan.notes),
}))
"""


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def changed_files(old: Path, new: Path) -> set[str]:
    found: set[str] = set()

    def walk(compared: filecmp.dircmp, prefix: str) -> None:
        found.update(f"{prefix}{name}" for name in (*compared.left_only, *compared.right_only, *compared.diff_files))
        for name, below in compared.subdirs.items():
            walk(below, f"{prefix}{name}/")

    walk(filecmp.dircmp(old, new, ignore=["__pycache__"]), "")
    return found


def apply(text: str, package: Path) -> None:
    """Do what the document says to a copy of the package."""
    for path, body in re.findall(r"`lc2_backup_dagster/(\S+\.py)`:\n\n```python\n(.*?)```", text, re.DOTALL):
        file = package / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(body)
    [difference] = blocks(text, "diff")
    context, added = (line[1:] for line in difference.splitlines())
    registry = package / "applications" / "registry.py"
    before = registry.read_text()
    assert before.count(f"{context}\n") == 1
    registry.write_text(before.replace(f"{context}\n", f"{context}\n{added}\n"))


def seed(postgres: PostgresServer, root: Path) -> None:
    postgres.create_role("wiki_backup", password=PASSWORD, options="LOGIN CREATEDB")
    postgres.create_database("wiki", owner="wiki_backup")
    statements = (
        "CREATE TABLE attachment (id bigint PRIMARY KEY, path text, size_bytes bigint)",
        "CREATE TABLE session (id bigint)",
        "INSERT INTO attachment VALUES (1, 'a/plan.txt', 4), (2, 'ö/Übersicht.txt', 5)",
        "INSERT INTO session VALUES (1)",
        "GRANT SELECT ON attachment, session TO wiki_backup",
    )
    for statement in statements:
        postgres.execute(statement, database="wiki")
    for path, content in {"a/plan.txt": b"plan", "ö/Übersicht.txt": b"alles", "thumbs/plan.png": b"tiny"}.items():
        file = root / "attachments" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (root / "etc").mkdir()
    (root / "etc" / "wiki.yaml").write_text("title: Office\nsmtp_password: hidden\n")


def test_the_wiki_of_the_document_is_backed_up_and_restored(tmp_path: Path, postgres: PostgresServer):
    text = DOCUMENT.read_text()
    package = tmp_path / "code" / "lc2_backup_dagster"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    apply(text, package)
    assert changed_files(PACKAGE, package) == {"applications/wiki", "applications/registry.py"}

    seed(postgres, tmp_path)
    KeyFile.create(tmp_path / "office.key")
    [site] = blocks(text, "yaml")
    replaced = {
        "/srv/backups": tmp_path / "backups",
        "/etc/lc2/office.key": tmp_path / "office.key",
        "/srv/wiki/attachments": tmp_path / "attachments",
        "/srv/wiki/etc": tmp_path / "etc",
        "5432": postgres.port,
    }
    for old, new in replaced.items():
        site = site.replace(old, str(new))
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "office.yaml").write_text(site)
    target = tmp_path / "restored"
    target.mkdir()
    try:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "sites"), str(target)],
            env={**os.environ, "PYTHONPATH": str(package.parent), "WIKI_DB_PASSWORD": PASSWORD},
            cwd=package.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        with postgres.server("wiki_restored").connect() as connection:
            rows = connection.execute(
                "SELECT (SELECT count(*) FROM attachment), (SELECT count(*) FROM session)"
            ).fetchone()
    finally:
        for name in ("wiki_restored", "wiki"):
            postgres.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    told = json.loads(done.stdout.splitlines()[-1])
    words = ("attachments", "database", "database_dump", "recovery_point", "restore", "settings")
    assert told["assets"] == [f"office/wiki/{word}" for word in words]
    point = told["point"]
    assert (point["rows"], point["dangling"], point["orphans"], point["partial"]) == (2, 0, 0, False)
    assert any("wiki reindex" in note for note in told["notes"])
    assert any("1 secrets are not part of the backup" in note for note in told["notes"])
    assert (target / "settings" / "wiki.yaml").read_text() == "title: Office\n"
    assert (target / "attachments" / "ö" / "Übersicht.txt").read_bytes() == b"alles"
    assert not (target / "attachments" / "thumbs").exists()
    assert rows == (2, 0)
