"""Compare what was restored with what was backed up: two databases, two stores. ``demo.compare`` is the way in."""
