"""Capture, restore and verify one kind of data each; an engine knows neither sites nor Dagster."""
