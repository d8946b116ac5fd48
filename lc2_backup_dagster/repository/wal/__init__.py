"""Archived WAL in a repository: names and timelines (pure), the objects' header, and the archive of one system."""
