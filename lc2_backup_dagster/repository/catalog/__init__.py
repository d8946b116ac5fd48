"""The catalog: a projection of the commit logs in PostgreSQL, for lists, metrics and the UI.

The bucket is the truth; losing the catalog loses nothing (R-7), and nothing here ever decides what may be written,
expired or deleted. What is not here: reading or writing of backups, and Dagster's own database.
"""

from lc2_backup_dagster.repository.catalog.backup import BackupStatus, CatalogBackup, LogHead
from lc2_backup_dagster.repository.catalog.catalog import Catalog

__all__ = ["BackupStatus", "Catalog", "CatalogBackup", "LogHead"]
