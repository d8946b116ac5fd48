"""Base backups: taken over the replication protocol, full or incremental, and proven whole."""
