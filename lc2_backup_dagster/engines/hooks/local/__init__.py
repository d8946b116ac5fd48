"""Hooks that are commands on this machine."""
