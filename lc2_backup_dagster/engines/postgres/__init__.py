"""PostgreSQL: base backups and dumps through PostgreSQL's own tools, and their restore.

Streams go to a ``write`` function that the caller hands in; nothing here knows where they end.
"""
