"""Captures of each component, and the recovery point that binds them."""
