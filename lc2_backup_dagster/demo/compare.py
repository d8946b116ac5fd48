"""Prove that two databases or two stores hold the same: every row, every byte. Used after a restore."""

from lc2_backup_dagster.demo.comparison.databases import compare_databases
from lc2_backup_dagster.demo.comparison.differences import Difference, Differences
from lc2_backup_dagster.demo.comparison.stores import compare_stores

__all__ = ["Difference", "Differences", "compare_databases", "compare_stores"]
