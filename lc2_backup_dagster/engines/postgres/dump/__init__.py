"""Dumps: one snapshot of a database, portable across versions, and its restore."""
