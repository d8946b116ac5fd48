"""The demo's machines: an embedded PostgreSQL, an embedded object store, seeded as the sites expect them."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lc2_backup_dagster.clouds.aws.client import S3Access, S3Connection
from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.demo.seed.liferay_database import seed_liferay_database
from lc2_backup_dagster.demo.seed.liferay_library import seed_liferay_library
from lc2_backup_dagster.demo.seed.scale import LiferayScale
from lc2_backup_dagster.demo.servers.object_store import ObjectServer
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.demo.servers.wal_receiver import WalReceiverProcess
from lc2_backup_dagster.demo.state import DemoState
from lc2_backup_dagster.model.site import SiteId

SITE = SiteId("retail", "liferay")
DATABASE = "lportal"
LIBRARY_BUCKET = "liferay-doclib-dev"
RESTORED_BUCKET = "liferay-doclib-restored-dev"
BACKUP_BUCKET = "lc2-backups-dev"
_ACCESS_KEY = "lc2-demo"
_DAGSTER_DATABASE = "dagster"
_CATALOG_DATABASE = "lc2_catalog"
_S3_PORT = 8333

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DemoPlatform:
    """Running servers.

    Attributes:
        postgres: the embedded server.
        objects: the embedded object store.
        connection: to the object store as its administrator.
        environment: what the demo's site files, Dagster and the command line read.
    """

    postgres: PostgresServer
    objects: ObjectServer
    connection: S3Connection
    environment: dict[str, str]

    def store(self, bucket: str) -> S3Store:
        """Return a store on one of the demo's buckets."""
        return S3Store(self.connection, bucket)


@contextmanager
def running_platform(home: Path, state: DemoState, *, scale: LiferayScale, say: Say) -> Generator[DemoPlatform]:
    """Start the servers over what the home holds, seed what is missing, stop them at the end."""
    key_file = home / "retail.key"
    if not key_file.exists():
        KeyFile.create(key_file)
    sites = home / "sites"
    sites.mkdir(exist_ok=True)
    with ExitStack() as stack:
        postgres = PostgresServer(
            home / "postgres", password=state.superuser_password, settings={"shared_buffers": "128MB"}
        )
        stack.enter_context(postgres)
        objects = ObjectServer(home / "objects", access_key=_ACCESS_KEY, secret_key=state.s3_secret_key, port=_S3_PORT)
        stack.enter_context(objects)
        connection = S3Connection(
            S3Access(endpoint=objects.endpoint, access_key=_ACCESS_KEY, secret_key=state.s3_secret_key)
        )
        stack.callback(connection.close)
        say(f"PostgreSQL 17 on port {postgres.port}, S3 at {objects.endpoint}, authentication on")
        platform = DemoPlatform(postgres, objects, connection, _environment(postgres, objects, state, key_file, sites))
        _prepare(platform, state)
        _seed(platform, state, scale, say)
        # Ends before the servers: a stopping PostgreSQL waits until its WAL was received.
        log_file = home / "logs" / "wal-receive.log"
        stack.enter_context(WalReceiverProcess(str(SITE), environment=platform.environment, log_file=log_file))
        say(f"lc2-backup wal-receive {SITE} archives WAL, log in {log_file}")
        yield platform


def _prepare(platform: DemoPlatform, state: DemoState) -> None:
    postgres = platform.postgres
    postgres.create_role("liferay", password=state.owner_password, options="LOGIN")
    # Least privilege: it reads everything and may replicate; membership in the owner opens the large objects.
    postgres.create_role(
        "lc2_backup",
        password=state.backup_password,
        options="LOGIN REPLICATION",
        member_of=["pg_read_all_data", "liferay"],
    )
    postgres.create_role("lc2_restore", password=state.restore_password, options="LOGIN CREATEDB")
    postgres.create_role("dagster", password=state.dagster_password, options="LOGIN")
    postgres.create_database(DATABASE, owner="liferay")
    # Rights on functions belong to a database: this one is used on the connection that opens the dump's snapshot.
    postgres.execute("GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO lc2_backup", database=DATABASE)
    postgres.create_database(_DAGSTER_DATABASE, owner="dagster")
    postgres.create_database(_CATALOG_DATABASE, owner="dagster")
    for bucket in (LIBRARY_BUCKET, RESTORED_BUCKET):
        platform.objects.create_bucket(bucket)
    # Files protected by the store are as safe as the store's own encryption at rest.
    platform.objects.create_bucket(BACKUP_BUCKET, encrypted=True)


def _seed(platform: DemoPlatform, state: DemoState, scale: LiferayScale, say: Say) -> None:
    owner = platform.postgres.server(DATABASE, user="liferay", password=state.owner_password)
    seeded = seed_liferay_database(owner, scale)
    say(
        f"database {DATABASE}: {seeded.tables} tables, {seeded.size_bytes / 1e6:.0f} MB"
        + ("" if seeded.created else " (from an earlier call)")
    )
    library = seed_liferay_library(platform.store(LIBRARY_BUCKET), scale)
    say(
        f"document library {LIBRARY_BUCKET}: {library.objects} objects, {library.plain_bytes / 1e6:.0f} MB"
        if library.objects
        else f"document library {LIBRARY_BUCKET} (from an earlier call)"
    )


def _environment(
    postgres: PostgresServer, objects: ObjectServer, state: DemoState, key_file: Path, sites: Path
) -> dict[str, str]:
    port = str(postgres.port)
    demo_sites = Path(__file__).parents[1] / "sites" / "demo"
    return {
        "LC2_BACKUP_SITES": f"{demo_sites}:{sites}",
        "LC2_BACKUP_CATALOG_URL": f"postgresql://dagster:{state.dagster_password}@127.0.0.1:{port}/{_CATALOG_DATABASE}",
        "LC2_DEMO_PG_HOST": "127.0.0.1",
        "LC2_DEMO_PG_PORT": port,
        "LC2_DEMO_PG_PASSWORD": state.backup_password,
        "LC2_DEMO_PG_RESTORE_PASSWORD": state.restore_password,
        "LC2_DEMO_S3_ENDPOINT": objects.endpoint,
        "LC2_DEMO_S3_ACCESS_KEY_ID": _ACCESS_KEY,
        "LC2_DEMO_S3_SECRET_ACCESS_KEY": state.s3_secret_key,
        "LC2_DEMO_KEY_FILE": str(key_file.resolve()),
        "LC2_DAGSTER_PG_HOST": "127.0.0.1",
        "LC2_DAGSTER_PG_PORT": port,
        "LC2_DAGSTER_PG_USER": "dagster",
        "LC2_DAGSTER_PG_PASSWORD": state.dagster_password,
        "LC2_DAGSTER_PG_DATABASE": _DAGSTER_DATABASE,
    }
