"""What belongs to the Dagster instance instead of to a code location: ``dagster.yaml`` names these classes.

- ``run_coordinator``: tags every run, so that the limits of R-27 hold for launches by hand too.
- ``run_launcher``: ends runs whose process is gone, so that a dead run never blocks the next backup.
- ``webserver``: Dagster's own web application behind a guard (``web_guard``).

Names of Dagster that are not public are imported in ``dagster_internals`` only.
"""
