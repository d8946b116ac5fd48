"""Commands that run before a backup, and what they leave behind.

``run.run_hooks`` carries hooks out in order. Where a command runs is behind one port (``ports.HookRunner``): on this
machine (``local``), in a running pod or in a Job (``cluster``). Whatever runs it: a command has a time limit after
which nothing of it is left, its output is bounded and shows no secret, and its artefact is a folder of plain files.
"""
