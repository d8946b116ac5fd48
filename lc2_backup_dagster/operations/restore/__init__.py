"""Restores: planned, refused or carried out, and recorded."""
