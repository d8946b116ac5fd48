"""Which rows of a Bloomreach database name media objects.

Where brXM keeps binaries depends on its data store, and only one kind is readable by SQL alone:

* **a table that names them** (the default here): a DAM, or an extension of the site, keeps media in a bucket and a row
  for each object. ``MediaTable`` says what table and columns are called; the default is a table ``brx_media`` with
  ``id``, ``object_key`` and ``size_bytes``;
* **Jackrabbit's own data store in a bucket** (``S3DataStore``): the ids stand inside the serialized nodes.
  ``JACKRABBIT_DATA_STORE_SQL`` finds them there; it reads every node, so it takes as long as reading these tables;
* **Jackrabbit's data store in the database** (brXM's default, table ``datastore``): the binaries are rows themselves,
  part of every dump, and no row names a file.
"""

import re
from dataclasses import dataclass

from lc2_backup_dagster.model.errors import ConfigurationError

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class MediaTable:
    """A table or view with a row for each media object.

    Attributes:
        table: its name, with its schema where it is not on the search path.
        key_column: holds the object's key below the files' source prefix.
        id_column: identifies the row to a person.
        size_column: the object's size in bytes, or None where no column has it.
    """

    table: str = "brx_media"
    key_column: str = "object_key"
    id_column: str = "id"
    size_column: str | None = "size_bytes"


def media_reference_sql(media: MediaTable) -> str:
    """Return the query that ``Application.file_reference_sql`` asks for.

    Raises:
        ConfigurationError: a name is not a plain identifier of lower-case letters, digits and ``_``.
    """
    names = [*media.table.split("."), media.key_column, media.id_column, media.size_column or "none"]
    for name in names:
        if not _IDENTIFIER.fullmatch(name):
            raise ConfigurationError(
                f"'{name}' is not a usable name of a table or column", hint="lower-case letters, digits and '_'"
            )
    size = f"media.{media.size_column}" if media.size_column else "NULL"
    # Names were checked above; nothing else is put into the text.
    return (
        f'SELECT media.{media.key_column}::text COLLATE "C" AS key,\n'  # noqa: S608
        f"       '{media.table}.{media.id_column}=' || media.{media.id_column} AS row_id,\n"
        f"       {size}::bigint AS size_bytes\n"
        f"  FROM {media.table} AS media\n"
        f" WHERE media.{media.key_column} IS NOT NULL\n"
        " ORDER BY key, row_id"
    )


# A node's bytes hold `dataStore:` and the binary's id, its SHA-1 or SHA-256 in hex, for each binary outside of it. S3
# has it under the first four digits, a dash, and the rest (org.apache.jackrabbit: BLOBInDataStore, S3Backend).
JACKRABBIT_DATA_STORE_SQL = """
SELECT DISTINCT
       (substr(found.id, 1, 4) || '-' || substr(found.id, 5)) COLLATE "C" AS key,
       node.place || '.node_id=' || encode(node.node_id, 'hex') AS row_id,
       NULL::bigint AS size_bytes
  FROM (SELECT 'default_bundle' AS place, node_id, bundle_data FROM default_bundle
        UNION ALL
        SELECT 'version_bundle', node_id, bundle_data FROM version_bundle) AS node
 CROSS JOIN LATERAL (
       SELECT part[1] AS id
         FROM regexp_matches(encode(node.bundle_data, 'escape'),
                             'dataStore:([0-9a-f]{64}|[0-9a-f]{40})', 'g') AS part) AS found
 ORDER BY key, row_id
""".strip()
