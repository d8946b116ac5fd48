"""The Dagster roof: factories of assets, checks, partitions, jobs, schedules and sensors, and the deployment.

Nothing below this layer imports Dagster. Modules here never use ``from __future__ import annotations``: it breaks
Dagster's reading of ``context`` annotations.
"""
