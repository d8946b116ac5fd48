"""What is special about each application: sources, excludes, checks, notes.

Values and SQL, without input or output; but an application whose configuration comes through an API has the client of
that API in its folder. One folder per application, named in ``registry`` alone; ``http`` and ``cdn`` are for all of
them. Applications do not know ``operations``.
"""
