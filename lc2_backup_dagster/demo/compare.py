"""Prove that two databases, stores or configurations hold the same: every row, every byte. Used after a restore."""

from lc2_backup_dagster.demo.comparison.databases import compare_databases
from lc2_backup_dagster.demo.comparison.differences import Difference, Differences
from lc2_backup_dagster.demo.comparison.documents import compare_documents
from lc2_backup_dagster.demo.comparison.stores import compare_stores

__all__ = ["Difference", "Differences", "compare_databases", "compare_documents", "compare_stores"]
