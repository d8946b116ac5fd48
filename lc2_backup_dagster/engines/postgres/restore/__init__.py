"""Restores of base backups: chains unpacked in place, checked, and recovered to a target."""
