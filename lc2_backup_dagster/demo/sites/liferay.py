"""The demo's Liferay: a portal with a document library, most of whose keys are written once."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from random import Random

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.demo.seed.liferay_changes import make_changes
from lc2_backup_dagster.demo.seed.liferay_configuration import seed_liferay_configuration
from lc2_backup_dagster.demo.seed.liferay_database import seed_liferay_database
from lc2_backup_dagster.demo.seed.liferay_library import seed_liferay_library
from lc2_backup_dagster.demo.seed.scale import LiferayScale
from lc2_backup_dagster.demo.sites.site import Connection, DemoSite, Surroundings
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.site import SiteId


def _seed(owner: Server, store: ObjectStore, scale: LiferayScale) -> Iterator[str]:
    seeded = seed_liferay_database(owner, scale)
    yield (
        f"database {owner.database}: {seeded.tables} tables, {seeded.size_bytes / 1e6:.0f} MB"
        + ("" if seeded.created else " (from an earlier call)")
    )
    library = seed_liferay_library(store, scale)
    yield (
        f"document library: {library.objects} objects, {library.plain_bytes / 1e6:.0f} MB"
        if library.objects
        else "document library (from an earlier call)"
    )


def _day(connection: Connection, store: ObjectStore, random: Random) -> str:
    changed = make_changes(connection, store, random=random)
    return (
        f"{len(changed.added)} files added, {len(changed.replaced)} replaced, {len(changed.deleted)} deleted, "
        f"{len(changed.articles)} articles edited"
    )


def _moment(connection: Connection, store: ObjectStore, random: Random) -> str:
    what = random.choice(("add", "replace", "delete", "edit"))
    counts = {"add": 0, "replace": 0, "delete": 0, "edit": 0, what: 1}
    make_changes(connection, store, random=random, **counts)
    return f"{what} {'an article' if what == 'edit' else 'a document'}"


@contextmanager
def _beside(around: Surroundings) -> Generator[Mapping[str, str]]:
    folder = around.home / "liferay"
    seed_liferay_configuration(folder)
    yield {"LC2_DEMO_LIFERAY_CONFIGURATION": str(folder)}


LIFERAY = DemoSite(
    site=SiteId("retail", "liferay"),
    database="lportal",
    owner="liferay",
    bucket="liferay-doclib-dev",
    restored_bucket="liferay-doclib-restored-dev",
    versioned=False,
    server="postgres",
    variables="LC2_DEMO_PG",
    seed=_seed,
    day=_day,
    moment=_moment,
    beside=_beside,
)
