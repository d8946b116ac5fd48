"""Bloomreach: a PostgreSQL database, media in an object store, content model and content behind HTTP APIs."""
