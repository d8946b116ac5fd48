"""The schema is brought up by any number of processes at once, and is what the queries expect."""

import subprocess
import sys

from lc2_backup_dagster.repository.catalog import Catalog
from lc2_backup_dagster.repository.catalog.tables import SCHEMA, metadata
from lc2_backup_dagster_tests.repository.catalog.queries import execute

_MIGRATE = "import sys; from lc2_backup_dagster.repository.catalog import Catalog; Catalog(sys.argv[1]).migrate()"


def test_two_processes_migrate_at_once(catalog_url):
    processes = [
        subprocess.Popen([sys.executable, "-c", _MIGRATE, catalog_url], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], answers
    assert execute(catalog_url, "SELECT version_num FROM lc2_backup.alembic_version") == [("0001",)]


def test_migrating_again_changes_nothing(catalog):
    catalog.migrate()
    assert catalog.backups() == []


def test_the_migrations_make_exactly_the_tables_that_queries_see(catalog_url):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import create_engine

    with Catalog(catalog_url) as catalog:
        catalog.migrate()
    engine = create_engine(catalog_url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection,
                opts={
                    "include_schemas": True,
                    "include_name": lambda name, type_, parents: type_ != "schema" or name == SCHEMA,
                    "version_table_schema": SCHEMA,
                    "compare_type": True,
                },
            )
            assert compare_metadata(context, metadata) == []
    finally:
        engine.dispose()


def test_a_role_without_the_right_to_create_a_schema_may_still_use_one_that_exists(catalog, shared_url):
    role = "plain_catalog_user"
    from sqlalchemy.engine import make_url

    execute_each(
        shared_url,
        f"CREATE ROLE {role} LOGIN PASSWORD 'plain-secret'",
        f"GRANT USAGE ON SCHEMA lc2_backup TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA lc2_backup TO {role}",
    )
    try:
        url = make_url(shared_url).set(username=role, password="plain-secret").render_as_string(hide_password=False)
        with Catalog(url) as mine:
            mine.migrate()
            assert mine.backups() == []
    finally:
        execute_each(shared_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def execute_each(url: str, *statements: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
