"""Which executor carries out the steps of a run.

A run is one process: starting one for each step costs more than the steps of most sites. Only the daily run of a site
that is cut into shards has steps that are better off in processes, or pods, of their own, and how a deployment starts
those is its own affair.
"""

import importlib

import dagster as dg

from lc2_backup_dagster.model.errors import ConfigurationError

SHARD_EXECUTOR_VARIABLE = "LC2_BACKUP_SHARD_EXECUTOR"

_NAMED = {"in_process": dg.in_process_executor, "multiprocess": dg.multiprocess_executor}


def shard_executor(name: str | None) -> dg.ExecutorDefinition:
    """Return the executor for runs with shards.

    Args:
        name: ``in_process``, ``multiprocess``, or ``<module>:<name>`` of an executor that is installed, for example
            ``dagster_k8s:k8s_job_executor``; one process when None or empty.

    Raises:
        ConfigurationError: there is no such executor.
    """
    if not name or name in _NAMED:
        return _NAMED[name or "in_process"]
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"{SHARD_EXECUTOR_VARIABLE} names '{name}', which cannot be loaded: {error}",
            hint=f"{', '.join(_NAMED)}, or <module>:<name> of an installed executor like dagster_k8s:k8s_job_executor",
        ) from error
    if not isinstance(found, dg.ExecutorDefinition):
        raise ConfigurationError(f"{SHARD_EXECUTOR_VARIABLE} names '{name}', which is no executor")
    return found
