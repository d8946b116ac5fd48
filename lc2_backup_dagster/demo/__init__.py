"""The demonstration: embedded servers, seeded applications, and the road from backup to restore on them.

Nothing here is needed to back up or restore anything real.
"""
