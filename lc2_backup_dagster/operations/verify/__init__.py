"""Verification of what is stored."""
