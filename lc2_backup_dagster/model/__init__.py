"""Frozen values, errors and the clock: what every layer may use and what imports nothing of ours.

No input or output happens here.
"""
