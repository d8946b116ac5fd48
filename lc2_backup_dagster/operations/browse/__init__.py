"""Look into stored backups: list, find, compare and read files."""
