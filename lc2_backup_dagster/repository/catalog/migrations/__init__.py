"""The catalog's schema, step by step. ``Catalog.migrate`` runs these; nothing else does."""
