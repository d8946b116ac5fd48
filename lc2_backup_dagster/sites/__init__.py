"""Site files: their strict schema, the loader that refuses a wrong one by file and line, and what opens a site.

A deployment names its own folders of site files; the demo's lie in ``demo/``. Adding a site is one YAML file. No
Dagster here: the command line reads the same files.
"""
