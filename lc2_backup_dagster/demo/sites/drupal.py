"""The demo's Drupal: pages with public and private files, and configuration that lies in the database."""

import os
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from shlex import quote

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.demo.seed.drupal import seed_drupal
from lc2_backup_dagster.demo.seed.drupal_changes import change_drupal
from lc2_backup_dagster.demo.seed.drupal_scale import DrupalScale
from lc2_backup_dagster.demo.seed.scale import LiferayScale
from lc2_backup_dagster.demo.sites.site import Connection, DemoSite, Surroundings
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.site import SiteId


def _seed(owner: Server, store: ObjectStore, scale: LiferayScale) -> Iterator[str]:
    wanted = DrupalScale(nodes=max(60, scale.documents // 5), files=max(80, scale.documents // 4))
    with owner.connect() as connection:
        seed_drupal(connection, store, scale=wanted, random=Random(scale.seed))
        row = connection.execute(
            "select (select count(*) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace), "
            "pg_database_size(current_database()), (select count(*) from file_managed), (select count(*) from config)"
        ).fetchone()
    assert row is not None
    tables, size_bytes, files, configuration = row
    yield (
        f"database {owner.database}: {tables} tables, {size_bytes / 1e6:.0f} MB, "
        f"{configuration} objects of configuration"
    )
    yield f"files: {files} that rows name"


def _day(connection: Connection, store: ObjectStore, random: Random) -> str:
    changed = change_drupal(connection, store, random=random)
    return (
        f"{len(changed.added)} files added, {len(changed.replaced)} replaced, {len(changed.deleted)} deleted, "
        f"{len(changed.nodes)} pages edited, {len(changed.configuration)} configuration objects changed"
    )


def _moment(connection: Connection, store: ObjectStore, random: Random) -> str:
    what = random.choice(("add", "replace", "delete", "edit", "configure"))
    counts = {"add": 0, "replace": 0, "delete": 0, "edit": 0} | ({} if what == "configure" else {what: 1})
    change_drupal(connection, store, random=random, configure=what == "configure", **counts)
    return f"{what} a {'file' if what == 'replace' else 'page'}" if what != "configure" else "change configuration"


@contextmanager
def _beside(around: Surroundings) -> Generator[Mapping[str, str]]:
    """Give the site a drush, found by its name as a real one is, and the folder that it exports to."""
    folder, owner = around.home / "drupal", around.owner
    sync, programs = folder / "config" / "sync", folder / "bin"
    for each in (sync, programs):
        each.mkdir(parents=True, exist_ok=True)
    package = Path(__file__).parents[3]
    command = f"PYTHONPATH={quote(str(package))} exec {quote(sys.executable)} -m lc2_backup_dagster.demo.drush"
    drush = programs / "drush"
    drush.write_text(f'#!/bin/sh\n{command} "$@"\n', encoding="utf-8")
    drush.chmod(0o755)
    yield {
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "DRUPAL_DATABASE_URL": f"postgresql://{owner.user}:{owner.password}@{owner.host}:{owner.port}/{owner.database}",
        "DRUPAL_CONFIG_SYNC_DIRECTORY": str(sync),
    }


DRUPAL = DemoSite(
    site=SiteId("retail", "drupal"),
    database="drupal",
    owner="drupal",
    bucket="drupal-files-dev",
    restored_bucket="drupal-files-restored-dev",
    versioned=True,
    server="postgres-drupal",
    variables="LC2_DEMO_DRUPAL_PG",
    seed=_seed,
    day=_day,
    moment=_moment,
    beside=_beside,
    # What change_drupal changes.
    restless=(
        "system.site.yml",
        "system.performance.yml",
        "language/de/system.site.yml",
        "block.block.olivero_notice.yml",
    ),
)
