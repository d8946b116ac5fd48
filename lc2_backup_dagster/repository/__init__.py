"""The repository format: layout, parts, manifests, commit log, keys, catalog. FORMAT.md is its specification.

What lives here knows bytes, hashes and records; it knows neither PostgreSQL nor file libraries nor Dagster.
"""
