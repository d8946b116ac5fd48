"""A stand-in for drush 12 and 13, for demo and tests where neither PHP nor Packagist can be had.

``python -m lc2_backup_dagster.demo.drush`` takes drush's commands, options and aliases for configuration, and answers
with drush's messages, files and exit codes: ``config:export``, ``config:import``, ``config:status``, ``core:status``,
``cache:rebuild``. It works on the real table ``config`` of a Drupal database on PostgreSQL. A hook that calls
``drush`` in production calls this in the demo, with the same arguments.

In place of settings.php there are two environment variables: ``DRUPAL_DATABASE_URL``, a ``postgresql://`` address, and
``DRUPAL_CONFIG_SYNC_DIRECTORY``, the directory used when a command names none.

What it does not do: run Drupal's code. An import validates what Drupal's own subscribers validate from the
configuration alone (emptiness, site UUID, ``core.extension``, profile, owners and dependencies) and then writes objects
as they are; no module is installed, no field's table made. ``--diff`` and the Git options are refused. ``core:status``
never tells the database's password, which drush would.
"""
