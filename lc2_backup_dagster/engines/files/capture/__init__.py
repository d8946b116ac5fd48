"""The capture of a file library: list, compare, copy what changed, write the manifest."""
