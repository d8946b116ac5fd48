"""Records, backups and heads of the commit logs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SCHEMA = "lc2_backup"


def upgrade() -> None:
    """Create the tables."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "log_heads",
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("repository_id", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("running", JSONB, nullable=False),
        sa.Column("projected_at", time, nullable=False),
        sa.PrimaryKeyConstraint("site", name="log_heads_pkey"),
        schema=_SCHEMA,
        comment="how far the commit log of each site was projected",
    )
    op.create_table(
        "log_records",
        sa.Column("repository_id", sa.Text, nullable=False),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("time", time, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("host", sa.Text),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("body", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "site", "sequence", name="log_records_pkey"),
        schema=_SCHEMA,
        comment="the commit logs, one row per record: the audit trail",
    )
    op.create_index("log_records_time", "log_records", ["time"], schema=_SCHEMA)
    op.create_table(
        "backups",
        sa.Column("repository_id", sa.Text, nullable=False),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("backup_id", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("application", sa.Text, nullable=False),
        sa.Column("component", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("parent", sa.Text),
        sa.Column("window", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("committed_at", time, nullable=False),
        sa.Column("expired_at", time),
        sa.Column("started", time),
        sa.Column("finished", time),
        sa.Column("seconds", sa.Float(53)),
        sa.Column("plain_bytes", sa.BigInteger),
        sa.Column("stored_bytes", sa.BigInteger),
        sa.Column("restorable_from", time),
        sa.Column("restorable_until", time),
        sa.Column("lsn", sa.Text),
        sa.Column("strategy", sa.Text),
        sa.Column("key_id", sa.Text),
        sa.Column("tool_version", sa.Text),
        sa.Column("server_version", sa.Text),
        sa.Column("manifest_sha256", sa.Text, nullable=False),
        sa.Column("initiator", JSONB, nullable=False),
        sa.Column("holds", JSONB, nullable=False),
        sa.Column("summary", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "site", "backup_id", name="backups_pkey"),
        schema=_SCHEMA,
        comment="committed backups, expired ones too, purged ones not",
    )
    op.create_index(
        "backups_newest", "backups", ["project", "application", "component", "committed_at"], schema=_SCHEMA
    )
