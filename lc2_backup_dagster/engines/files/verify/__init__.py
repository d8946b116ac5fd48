"""Verification of stored files: looked at, read, and what was found out kept."""
