"""What is special about each application: sources, excludes, checks, notes. Values and SQL only, no input or output.

One folder per application, named in ``registry`` alone. Applications do not know ``operations``.
"""
