"""Restores of a file library, or a choice of it, into any store."""
