"""The site that benchmarks back up: embedded servers, a seed of any size, one site file."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lc2_backup_dagster.clouds.aws.client import S3Access, S3Connection
from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.clouds.registry import create_key_file
from lc2_backup_dagster.demo.servers.object_store import ObjectServer
from lc2_backup_dagster.demo.servers.postgres import PostgresServer

LIBRARY, BACKUPS, RESTORED = "library", "backups", "restored"
# Without autovacuum, which changes pages whenever it likes: then an increment holds more than was changed.
_SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "4GB", "autovacuum": "off"}
_KEY, _SECRET, _PASSWORD = "bench", "bench-secret", "bench-password"

_SITE = """\
apiVersion: backup.lc2.io/v1alpha1
kind: Site
project: bench
application: liferay
environment: dev
destination:
  store: {destination}
  encryption: {{key: {{kind: file, path: {key_file}}}}}
database:
  host: 127.0.0.1
  port: {port}
  name: {database}
  user: postgres
  passwordEnv: BENCH_PASSWORD
  sslMode: disable
  wal: {wal}
files:
  source: {{store: {source}}}
  protection: {protection}
restore:
  files: {{store: {restored}}}
"""


@dataclass(frozen=True)
class Bench:
    """Running servers.

    Attributes:
        home: folder of everything.
        postgres: the database server.
        objects: the object store.
        connection: to the object store.
        environment: secrets that the site files name.
    """

    home: Path
    postgres: PostgresServer
    objects: ObjectServer
    connection: S3Connection
    environment: dict[str, str]

    def bucket(self, name: str) -> S3Store:
        """Return a store on a bucket."""
        return S3Store(self.connection, name)

    def s3(self, bucket: str) -> str:
        """Return the store entry of a site file for a bucket."""
        return (
            f"{{kind: s3, endpoint: '{self.objects.endpoint}', bucket: {bucket}, "
            "accessKeyIdEnv: BENCH_KEY, secretAccessKeyEnv: BENCH_SECRET}"
        )

    def directory(self, name: str) -> str:
        """Return the store entry of a site file for a new folder."""
        (self.home / name).mkdir(exist_ok=True)
        return f"{{kind: directory, path: '{self.home / name}'}}"

    def site(
        self,
        name: str,
        *,
        destination: str,
        database: str = "postgres",
        protection: str = "client",
        port: int | None = None,
        wal_slot: str | None = None,
        source: Path | None = None,
    ) -> Path:
        """Write a site file into a folder of its own and return the folder."""
        folder = self.home / "sites" / name
        folder.mkdir(parents=True, exist_ok=True)
        key_file = self.home / "bench.key"
        if not key_file.exists():
            create_key_file(key_file)
        text = _SITE.format(
            destination=destination,
            key_file=key_file,
            port=port or self.postgres.port,
            database=database,
            source=f"{{kind: directory, path: '{source}'}}" if source else self.s3(LIBRARY),
            protection=protection,
            restored=self.s3(RESTORED),
            wal=f"{{enabled: true, slot: {wal_slot}}}" if wal_slot else "{enabled: false}",
        )
        (folder / "site.yaml").write_text(text)
        return folder


@contextmanager
def running_bench(home: Path) -> Generator[Bench]:
    """Start the servers below a folder and stop them at the end."""
    with ExitStack() as stack:
        postgres = PostgresServer(home / "postgres", password=_PASSWORD, settings=_SETTINGS)
        stack.callback(postgres.remove)
        stack.enter_context(postgres)
        objects = stack.enter_context(ObjectServer(home / "objects", access_key=_KEY, secret_key=_SECRET))
        for bucket in (LIBRARY, BACKUPS, RESTORED):
            objects.create_bucket(bucket)
        connection = S3Connection(S3Access(endpoint=objects.endpoint, access_key=_KEY, secret_key=_SECRET))
        stack.callback(connection.close)
        environment = {"BENCH_PASSWORD": _PASSWORD, "BENCH_KEY": _KEY, "BENCH_SECRET": _SECRET}
        yield Bench(home, postgres, objects, connection, environment)
