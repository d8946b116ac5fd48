"""The manifest of a file library: its lines, and merges of sorted lines in fixed memory."""
