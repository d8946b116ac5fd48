"""Names of the streams that a base backup consists of, as they stand in its manifest (FORMAT.md, section 13)."""

from lc2_backup_dagster.engines.postgres.base.backup_manifest import MANIFEST_NAME

TAR_STREAM = "base.tar"
INDEX_STREAM = "base.index"
MANIFEST_STREAM = MANIFEST_NAME


def archive_stream(oid: int | None) -> str:
    """Return the stream's name of a tablespace's tar; None is the main data directory."""
    return TAR_STREAM if oid is None else f"tablespace-{oid}.tar"


def index_stream(oid: int | None) -> str:
    """Return the stream's name of a tablespace's index; None is the main data directory."""
    return INDEX_STREAM if oid is None else f"tablespace-{oid}.index"
