"""The object store in a plain directory, of this machine or mounted.

Outside this folder only ``clouds.registry`` and tests name what lives here.
"""
