"""File libraries: inventory, incremental capture, restore, verification and matching with the rows that name files.

Everything streams in byte order of the keys, so memory does not grow with the number of files (L-23). The entry
points are ``capture.capture_files``, ``restore.restore_files``, ``verify.verify_files`` and ``matching.match_rows``;
the rest serves them. Which files belong to a site, and what they are called there, is said by ``applications``.
"""
