"""Liferay DXP: a PostgreSQL database and a document library in an object store or a file system."""
