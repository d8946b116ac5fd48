"""Run by Alembic inside ``Catalog.migrate``, on the connection and in the transaction that it opened."""

from alembic import context

from lc2_backup_dagster.repository.catalog.tables import SCHEMA, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table_schema=SCHEMA,
)
context.run_migrations()
