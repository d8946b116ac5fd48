"""The border where our errors become Dagster's: who may retry, who may not, and what a cancelled step does.

Every asset and check does its work inside `translate_errors`. Assets carry no `RetryPolicy`: a policy retries every
error, permanent ones and cancellation too.
"""

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg

from lc2_backup_dagster.model.errors import BackupError, IntegrityError, TransientError


class StepCancelled(dg.DagsterExecutionInterruptedError, dg.DagsterError):
    """The step was interrupted, and must not start again.

    Dagster restarts an interrupted step that has a `RetryPolicy` (dagster#15026), but lets every `DagsterError` pass
    its policies. Being both kinds, this one ends the run as CANCELED. `Failure(allow_retries=False)` would end only
    the step: the next assets of the run would still be started.
    """


@contextmanager
def translate_errors(*, max_retries: int = 2, seconds_to_wait: float = 10.0) -> Generator[None]:
    """Translate errors of the service for Dagster; usable as a context manager and as a decorator of plain functions.

    | raised inside                            | becomes                                                     |
    |------------------------------------------|-------------------------------------------------------------|
    | `TransientError`                         | `RetryRequested`: the step is tried again, `max_retries` times |
    | other `BackupError`                      | `Failure(allow_retries=False)` with message, hint and ids   |
    | Dagster's interruption (Terminate, SIGTERM) | `StepCancelled`: the run ends, nothing starts again      |
    | anything else                            | itself: a bug, shown with its stack                         |

    A generator function cannot be decorated (its body runs later): use ``with translate_errors():`` inside it.

    Args:
        max_retries: how often a step is started again after a transient error.
        seconds_to_wait: pause before each new start.
    """
    try:
        yield
    except TransientError as error:
        if max_retries == 0:
            raise dg.Failure(description=str(error), metadata=_describe(error), allow_retries=False) from error
        raise dg.RetryRequested(max_retries=max_retries, seconds_to_wait=seconds_to_wait) from error
    except BackupError as error:
        raise dg.Failure(description=str(error), metadata=_describe(error), allow_retries=False) from error
    except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt) as interruption:
        raise StepCancelled("cancelled") from interruption


def _describe(error: BackupError) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {"error": dg.MetadataValue.text(type(error).__name__)}
    if error.hint:
        metadata["hint"] = dg.MetadataValue.text(error.hint)
    if isinstance(error, IntegrityError):
        metadata["alarm"] = dg.MetadataValue.text(
            "stored data is not what was promised; nothing was substituted for it"
        )
    for name, value in error.attributes.items():
        metadata[name] = dg.MetadataValue.text(str(value))
    return metadata
