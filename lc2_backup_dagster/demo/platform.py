"""The demo's machines: a PostgreSQL for each site, an object store for all, seeded as the site files expect them.

Each site has a server of its own, as real ones do: a physical backup, its WAL and its slot are of a whole server, so
three databases on one would be backed up three times. Dagster and the catalog live beside Liferay's database.
"""

import os
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lc2_backup_dagster.clouds.aws.client import S3Access, S3Connection
from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.demo.seed.scale import LiferayScale
from lc2_backup_dagster.demo.servers.live_writer import OWNER_PASSWORD, LiveWriterProcess
from lc2_backup_dagster.demo.servers.object_store import ObjectServer
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.demo.servers.wal_receiver import WalReceiverProcess
from lc2_backup_dagster.demo.sites.all_sites import ALL_SITES
from lc2_backup_dagster.demo.sites.site import DemoSite, Say, Surroundings
from lc2_backup_dagster.demo.state import DemoState
from lc2_backup_dagster.engines.postgres.servers.server import Server

BACKUP_BUCKET = "lc2-backups-dev"
_ACCESS_KEY = "lc2-demo"
_DAGSTER_DATABASE = "dagster"
_CATALOG_DATABASE = "lc2_catalog"
_S3_PORT = 8333


class LiveSite(NamedTuple):
    """A site and its running server."""

    site: DemoSite
    postgres: PostgresServer


@dataclass(frozen=True, slots=True)
class DemoPlatform:
    """Running servers.

    Attributes:
        live: the sites with their servers; Dagster's database is on the first one's.
        objects: the embedded object store.
        connection: to the object store as its administrator.
        owner_password: of the roles that own the sites' databases.
        environment: what the demo's site files, Dagster and the command line read.
        alive: whether people change the sites all the time.
    """

    live: Sequence[LiveSite]
    objects: ObjectServer
    connection: S3Connection
    owner_password: str
    environment: dict[str, str]
    alive: bool

    def store(self, bucket: str) -> S3Store:
        """Return a store on one of the demo's buckets."""
        return S3Store(self.connection, bucket)

    def owner(self, live: LiveSite) -> Server:
        """Return the address of a site's database as its owner."""
        return live.postgres.server(live.site.database, user=live.site.owner, password=self.owner_password)


@contextmanager
def running_platform(
    home: Path,
    state: DemoState,
    *,
    scale: LiferayScale,
    say: Say,
    alive: bool = True,
    sites: Sequence[DemoSite] = ALL_SITES,
) -> Generator[DemoPlatform]:
    """Start the servers over what the home holds, seed what is missing, stop them at the end.

    Args:
        home: everything lies here.
        state: of earlier calls.
        scale: size of the seeds.
        say: takes what happens.
        alive: let people change the sites all the time.
        sites: which ones.
    """
    key_file = home / "retail.key"
    if not key_file.exists():
        KeyFile.create(key_file)
    (home / "sites").mkdir(exist_ok=True)
    with ExitStack() as stack:
        live = _start_databases(home, state, sites, stack)
        objects = ObjectServer(home / "objects", access_key=_ACCESS_KEY, secret_key=state.s3_secret_key, port=_S3_PORT)
        stack.enter_context(objects)
        connection = S3Connection(
            S3Access(endpoint=objects.endpoint, access_key=_ACCESS_KEY, secret_key=state.s3_secret_key)
        )
        stack.callback(connection.close)
        ports = ", ".join(f"{each.site.site.application} {each.postgres.port}" for each in live)
        say(f"PostgreSQL 17 on ports {ports}; S3 at {objects.endpoint}; authentication on")
        environment = _environment(live, objects, state, key_file, home / "sites")
        platform = DemoPlatform(live, objects, connection, state.owner_password, environment, alive)
        _prepare(platform, state)
        _seed(platform, scale, say)
        for each in live:
            if each.site.beside is not None:
                around = Surroundings(platform.owner(each), home, state, alive)
                environment.update(stack.enter_context(each.site.beside(around)))
        # They end before the servers: a stopping PostgreSQL waits until its WAL was received.
        for each in live:
            log_file = home / "logs" / f"wal-receive-{each.site.site.word}.log"
            stack.enter_context(
                WalReceiverProcess(str(each.site.site), environment=platform.environment, log_file=log_file)
            )
        say(f"lc2-backup wal-receive archives WAL of each site, logs in {home / 'logs'}")
        if alive:
            stack.enter_context(_let_live(platform, home / "logs" / "live.log"))
            say("people change rows and files of each site all the time; --still leaves that out")
        yield platform


def _let_live(platform: DemoPlatform, log_file: Path) -> LiveWriterProcess:
    return LiveWriterProcess(
        [str(each.site.site) for each in platform.live],
        environment={**platform.environment, OWNER_PASSWORD: platform.owner_password},
        log_file=log_file,
    )


def _start_databases(home: Path, state: DemoState, sites: Sequence[DemoSite], stack: ExitStack) -> tuple[LiveSite, ...]:
    live = tuple(
        LiveSite(
            site,
            PostgresServer(home / site.server, password=state.superuser_password, settings={"shared_buffers": "128MB"}),
        )
        for site in sites
    )
    with ThreadPoolExecutor(len(live)) as pool:
        list(pool.map(PostgresServer.prepare, [each.postgres for each in live]))
    for each in live:  # from this thread: a server ends with the one that started it
        stack.enter_context(each.postgres)
    return live


def _prepare(platform: DemoPlatform, state: DemoState) -> None:
    for live in platform.live:
        site, postgres = live
        postgres.create_role(site.owner, password=state.owner_password, options="LOGIN")
        # Least privilege: it reads everything and may replicate; membership in the owner opens the large objects.
        postgres.create_role(
            "lc2_backup",
            password=state.backup_password,
            options="LOGIN REPLICATION",
            member_of=["pg_read_all_data", site.owner],
        )
        postgres.create_role("lc2_restore", password=state.restore_password, options="LOGIN CREATEDB")
        postgres.create_database(site.database, owner=site.owner)
        # Rights on functions belong to a database: this one is used on the connection that opens the dump's snapshot.
        postgres.execute(
            "GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO lc2_backup", database=site.database
        )
        for bucket in (site.bucket, site.restored_bucket):
            platform.objects.create_bucket(bucket)
    own = platform.live[0].postgres
    own.create_role("dagster", password=state.dagster_password, options="LOGIN")
    own.create_database(_DAGSTER_DATABASE, owner="dagster")
    own.create_database(_CATALOG_DATABASE, owner="dagster")
    # Files protected by the store are as safe as the store's own encryption at rest.
    platform.objects.create_bucket(BACKUP_BUCKET, encrypted=True)


def _seed(platform: DemoPlatform, scale: LiferayScale, say: Say) -> None:
    def seed(live: LiveSite) -> None:
        store = platform.store(live.site.bucket)
        for line in live.site.seed(platform.owner(live), store, scale):
            say(f"{live.site.site}: {line}")
        # What was seeded before has no version of its own, as in a bucket that got versioning late in its life.
        if live.site.versioned:
            platform.objects.create_bucket(live.site.bucket, versioning=True)

    with ThreadPoolExecutor(len(platform.live)) as pool:
        list(pool.map(seed, platform.live))


def _environment(
    live: Sequence[LiveSite], objects: ObjectServer, state: DemoState, key_file: Path, sites: Path
) -> dict[str, str]:
    demo_sites = Path(__file__).parents[1] / "sites" / "demo"
    own = str(live[0].postgres.port)
    environment = {
        "LC2_BACKUP_SITES": f"{demo_sites}{os.pathsep}{sites}",
        "LC2_BACKUP_CATALOG_URL": f"postgresql://dagster:{state.dagster_password}@127.0.0.1:{own}/{_CATALOG_DATABASE}",
        "LC2_DEMO_S3_ENDPOINT": objects.endpoint,
        "LC2_DEMO_S3_ACCESS_KEY_ID": _ACCESS_KEY,
        "LC2_DEMO_S3_SECRET_ACCESS_KEY": state.s3_secret_key,
        "LC2_DEMO_KEY_FILE": str(key_file.resolve()),
        "LC2_DAGSTER_PG_HOST": "127.0.0.1",
        "LC2_DAGSTER_PG_PORT": own,
        "LC2_DAGSTER_PG_USER": "dagster",
        "LC2_DAGSTER_PG_PASSWORD": state.dagster_password,
        "LC2_DAGSTER_PG_DATABASE": _DAGSTER_DATABASE,
    }
    for site, postgres in live:
        environment |= _address(site, postgres, state)
    return environment


def _address(site: DemoSite, postgres: PostgresServer, state: DemoState) -> Mapping[str, str]:
    return {
        f"{site.variables}_HOST": "127.0.0.1",
        f"{site.variables}_PORT": str(postgres.port),
        f"{site.variables}_PASSWORD": state.backup_password,
        f"{site.variables}_RESTORE_PASSWORD": state.restore_password,
    }
