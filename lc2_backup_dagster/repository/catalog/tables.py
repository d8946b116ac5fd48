"""The catalog's tables as queries see them; ``migrations`` makes them, a test compares the two."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Float,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "lc2_backup"

metadata = MetaData(schema=SCHEMA)

_Time = DateTime(timezone=True)

log_heads = Table(
    "log_heads",
    metadata,
    Column("site", Text, nullable=False),
    Column("repository_id", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    # The attempts that run as of this record; with them the fold goes on where it stopped.
    Column("running", JSONB, nullable=False),
    Column("projected_at", _Time, nullable=False),
    PrimaryKeyConstraint("site", name="log_heads_pkey"),
    comment="how far the commit log of each site was projected",
)

log_records = Table(
    "log_records",
    metadata,
    Column("repository_id", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("time", _Time, nullable=False),
    Column("actor", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("run_id", Text),
    Column("host", Text),
    Column("sha256", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    PrimaryKeyConstraint("repository_id", "site", "sequence", name="log_records_pkey"),
    Index("log_records_time", "time"),
    comment="the commit logs, one row per record: the audit trail",
)

backups = Table(
    "backups",
    metadata,
    Column("repository_id", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("backup_id", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("application", Text, nullable=False),
    Column("component", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("parent", Text),
    Column("window", Text),
    Column("status", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("committed_at", _Time, nullable=False),
    Column("expired_at", _Time),
    Column("started", _Time),
    Column("finished", _Time),
    Column("seconds", Float(53)),
    Column("plain_bytes", BigInteger),
    Column("stored_bytes", BigInteger),
    Column("restorable_from", _Time),
    Column("restorable_until", _Time),
    Column("lsn", Text),
    Column("strategy", Text),
    Column("key_id", Text),
    Column("tool_version", Text),
    Column("server_version", Text),
    Column("manifest_sha256", Text, nullable=False),
    Column("initiator", JSONB, nullable=False),
    Column("holds", JSONB, nullable=False),
    Column("summary", JSONB, nullable=False),
    PrimaryKeyConstraint("repository_id", "site", "backup_id", name="backups_pkey"),
    Index("backups_newest", "project", "application", "component", "committed_at"),
    comment="committed backups, expired ones too, purged ones not",
)
