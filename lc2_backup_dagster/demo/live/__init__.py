"""A seeded site that lives: people change rows and files together while backups run, and a journal tells what changed.

``writer`` makes the changes, one after the other; ``journal`` writes each down in the transaction that makes it;
``comparison`` proves with that what was restored of a site that never stood still. ``__main__`` is the process.
"""
