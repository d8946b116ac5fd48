"""Backup and restore of content platforms as a Dagster project.

The layers, from the roof down, are drawn in docs/architecture.md; imports point down only.
"""

__version__ = "0.1.0"
