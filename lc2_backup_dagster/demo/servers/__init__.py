"""Servers that run from wheels of the package index, for the demonstration and the tests: no container, no root."""
