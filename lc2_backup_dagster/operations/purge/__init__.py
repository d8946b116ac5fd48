"""Deletion of expired backups and of garbage."""
