"""A site on directories whose database nobody asks, and an export and files of it as a deployment captures them."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.configuration import capture_configuration
from lc2_backup_dagster.operations.capture.files import capture_site_files
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster.sites.assembly import OpenSite, open_site
from lc2_backup_dagster.sites.loader import load_sites
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.tiny_site import TinySite, open_window


def an_offline_site(root: Path, application: str, *, environment: dict[str, str], **parts: Any) -> TinySite:
    """Write the file of a site, with a repository in a directory and what ``parts`` add."""
    KeyFile.create(root / "site.key")
    values: dict[str, Any] = {
        "apiVersion": "backup.lc2.io/v1alpha1",
        "kind": "Site",
        "project": "retail",
        "application": application,
        "environment": "test",
        "destination": {
            "store": {"kind": "directory", "path": str(root / "bucket"), "create": True},
            "encryption": {"key": {"kind": "file", "path": str(root / "site.key")}},
        },
        "database": {
            "host": "127.0.0.1",
            "port": 1,
            "name": "nobody",
            "user": "nobody",
            "sslMode": "disable",
            "scratchDirectory": str(root),
        },
        **parts,
    }
    return TinySite(root, values, environment, cast(Any, None)).write()


# What drush does, as far as a restore sees it: reads the folder, says something, ends with a code.
IMPORT = (
    "import os, pathlib, sys; folder = pathlib.Path(sys.argv[1]); "
    "print('imports', len(list(folder.iterdir())), 'documents with', os.environ['SITE_SECRET']); "
    "sys.exit(3 if (folder / 'broken.yml').exists() else 0)"
)


def a_site_with_an_import_and_a_cdn(root: Path, *, cdn: str) -> TinySite:
    """Write the file of a Drupal with a document, three files, a command that imports and a CDN at an address."""
    configs, library = root / "configs", root / "library" / "sites/default/files"
    for folder in (configs, library, root / "restored"):
        folder.mkdir(parents=True)
    (configs / "core.extension.yml").write_text("module: {node: 0}\n")
    for name in ("a.jpg", "b c.jpg", "d.jpg"):
        (library / name).write_text(name)
    told = {"kind": "http", "url": cdn, "headers": [{"name": "Authorization", "valueEnv": "CDN_SECRET"}]}
    command = {"command": [sys.executable, "-c", IMPORT, "{directory}"], "passEnv": ["SITE_SECRET"]}
    return an_offline_site(
        root,
        "drupal",
        environment={"SITE_SECRET": "s3cr3t-11", "CDN_SECRET": "Bearer s3cr3t-22"},
        files={"source": {"store": {"kind": "directory", "path": str(root / "library")}}},
        configuration={"source": {"kind": "directory", "path": str(configs)}},
        restore={
            "files": {"cdn": {**told, "prefix": "/media/"}},
            "configuration": {"directory": str(root / "restored"), "importCommand": command},
        },
    )


def opened(site: TinySite) -> OpenSite:
    loaded = load_sites([site.file], environment=site.environment)
    assert not loaded.problems, [str(problem) for problem in loaded.problems]
    site_id = SiteId(site.values["project"], site.values["application"])
    return open_site(loaded.site(site_id), environment=site.environment)


def captured_configuration(site: TinySite) -> str:
    """Capture the site's configuration, and return the backup's id."""
    return _captured(site, capture_configuration)


def captured_files(site: TinySite) -> str:
    """Capture the site's files, and return the backup's id."""
    return _captured(site, capture_site_files)


def _captured(site: TinySite, capture: Any) -> str:
    day, now = open_window(WindowLength.DAILY), datetime.now(UTC)
    return capture(opened(site).context, window=day, asked_at=now, initiator=TESTER).backup.backup_id


def restores_of(context: SiteContext) -> list[dict[str, Any]]:
    """Return what the log says of restores."""
    log = context.open_repository(False).log
    return [each.body for each in log.records() if each.type is RecordType.RESTORE]
