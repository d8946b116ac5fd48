"""The verbs: capture, bind, restore, verify, rebuild. They know engines and the repository, never Dagster.

One module a verb; its main function reads as the list of its steps.
"""
