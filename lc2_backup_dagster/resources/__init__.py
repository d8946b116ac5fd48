"""Dagster resources that hand out plain objects, one set per environment. The only door from assets to operations."""
