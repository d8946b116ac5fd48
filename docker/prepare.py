"""Prepare what docker-compose.yml starts: roles, databases, buckets, a key, and a seeded Liferay. Safe to run again.

The counterpart of ``lc2_backup_dagster/demo/platform.py`` for servers that are there already. The SQL is that of
docs/operating.md, which explains each right.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from psycopg import sql

from lc2_backup_dagster.clouds.aws.client import S3Access, S3Connection
from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.clouds.registry import create_key_file
from lc2_backup_dagster.demo.seed.liferay_configuration import seed_liferay_configuration
from lc2_backup_dagster.demo.seed.liferay_database import seed_liferay_database
from lc2_backup_dagster.demo.seed.liferay_library import seed_liferay_library
from lc2_backup_dagster.demo.seed.scale import LiferayScale
from lc2_backup_dagster.engines.postgres.servers.server import Server

APPLICATION_DATABASE = "lportal"
LIBRARY_BUCKET = "liferay-doclib-dev"
BUCKETS = (LIBRARY_BUCKET, "liferay-doclib-restored-dev", "lc2-backups-dev")
# Name of the role, variable of its password, attributes, roles it is a member of.
ROLES = (
    ("liferay", "LIFERAY_PASSWORD", "LOGIN", ()),
    ("lc2_backup", "LC2_DEMO_PG_PASSWORD", "LOGIN REPLICATION", ("pg_read_all_data", "liferay")),
    ("lc2_restore", "LC2_DEMO_PG_RESTORE_PASSWORD", "LOGIN CREATEDB", ()),
    ("dagster", "LC2_DAGSTER_PG_PASSWORD", "LOGIN", ()),
)
DATABASES = ((APPLICATION_DATABASE, "liferay"), ("dagster", "dagster"), ("lc2_catalog", "dagster"))


def main() -> None:
    """Prepare everything."""
    environment = os.environ
    superuser = Server(
        host=environment["LC2_DEMO_PG_HOST"],
        port=int(environment["LC2_DEMO_PG_PORT"]),
        user="postgres",
        password=environment["POSTGRES_SUPERUSER_PASSWORD"],
        database="postgres",
    )
    prepare_server(superuser)
    key_file = Path(environment["LC2_DEMO_KEY_FILE"])
    if not key_file.exists():
        create_key_file(key_file)
    seed_liferay_configuration(Path(environment["LC2_DEMO_LIFERAY_CONFIGURATION"]))
    scale = LiferayScale(size_bytes=200 * 1024 * 1024, documents=3200)
    owner = Server(
        host=superuser.host,
        port=superuser.port,
        user="liferay",
        password=environment["LIFERAY_PASSWORD"],
        database=APPLICATION_DATABASE,
    )
    click.echo(f"database: {seed_liferay_database(owner, scale)}")
    with object_store() as connection:
        for bucket in BUCKETS:
            create_bucket(connection, bucket)
        click.echo(f"library: {seed_liferay_library(S3Store(connection, LIBRARY_BUCKET), scale)}")


def prepare_server(superuser: Server) -> None:
    """Create roles and databases, or give existing roles their attributes and passwords again."""
    with superuser.connect() as connection:
        for name, variable, attributes, groups in ROLES:
            exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
            statement = sql.SQL("{} ROLE {} {} PASSWORD {}").format(
                sql.SQL("ALTER" if exists else "CREATE"),
                sql.Identifier(name),
                sql.SQL(attributes),
                sql.Literal(os.environ[variable]),
            )
            connection.execute(statement)
            for group in groups:
                connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(name)))
        for name, owner in DATABASES:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0 OWNER {}")
                connection.execute(statement.format(sql.Identifier(name), sql.Identifier(owner)))
    # Rights to functions belong to one database, so this one is given where dumps are taken.
    with superuser.connect(APPLICATION_DATABASE) as connection:
        connection.execute("GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO lc2_backup")


@contextmanager
def object_store() -> Iterator[S3Connection]:
    """Connect to the object store as its administrator."""
    connection = S3Connection(
        S3Access(
            endpoint=os.environ["LC2_DEMO_S3_ENDPOINT"],
            access_key=os.environ["LC2_DEMO_S3_ACCESS_KEY_ID"],
            secret_key=os.environ["LC2_DEMO_S3_SECRET_ACCESS_KEY"],
            attempts=10,  # it may still be starting
        )
    )
    try:
        yield connection
    finally:
        connection.close()


def create_bucket(connection: S3Connection, name: str) -> None:
    """Create a bucket unless this account owns it already."""
    client: Any = connection.client
    try:
        client.create_bucket(Bucket=name)
    except (client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
        return


if __name__ == "__main__":
    main()
