"""Archived WAL: received, measured, and read by recovering servers."""
