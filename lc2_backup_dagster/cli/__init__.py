"""``lc2-backup``: look at backups, verify and restore them with nothing but the bucket and the key; no Dagster."""
