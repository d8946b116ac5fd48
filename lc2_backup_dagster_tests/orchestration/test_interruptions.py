"""Errors at the Dagster border, in real runs of the in-process executor."""

from collections.abc import Callable

import dagster as dg
import pytest

from lc2_backup_dagster.model.errors import PartCorrupt, ServerUnavailable, WindowNotRestorable
from lc2_backup_dagster.orchestration.interruptions import StepCancelled, translate_errors


def run_asset(work: Callable[[int], None]) -> tuple[dg.ExecuteInProcessResult, int]:
    """Materialize one asset that also has a retry policy; return the result and how often it started."""
    starts = 0

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=5))
    def component() -> None:
        nonlocal starts
        starts += 1
        with translate_errors(max_retries=2, seconds_to_wait=0):
            work(starts)

    return dg.materialize([component], raise_on_error=False), starts


def failure_of(result: dg.ExecuteInProcessResult) -> dg.DagsterEvent:
    return next(event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_FAILURE)


def test_a_transient_error_is_tried_again_and_may_succeed() -> None:
    def work(start: int) -> None:
        if start == 1:
            raise ServerUnavailable("the server does not answer")

    result, starts = run_asset(work)
    assert result.success
    assert starts == 2


def test_a_transient_error_that_stays_fails_after_its_retries() -> None:
    def work(start: int) -> None:
        raise ServerUnavailable("the server does not answer")

    result, starts = run_asset(work)
    assert not result.success
    assert starts == 3


def test_a_permanent_error_fails_at_once_with_message_hint_and_ids() -> None:
    def work(start: int) -> None:
        raise WindowNotRestorable("nothing covers the window", hint="nearest: 2026-01-02", window="2026-01-01")

    result, starts = run_asset(work)
    failure = failure_of(result).step_failure_data.user_failure_data
    assert starts == 1
    assert failure is not None
    assert failure.description == "nothing covers the window; hint: nearest: 2026-01-02"
    assert failure.metadata["window"].value == "2026-01-01"
    assert failure.metadata["error"].value == "WindowNotRestorable"


def test_an_integrity_error_fails_at_once_and_says_that_it_is_an_alarm() -> None:
    def work(start: int) -> None:
        raise PartCorrupt("part 3 is corrupt", key="backups/000003")

    result, starts = run_asset(work)
    failure = failure_of(result).step_failure_data.user_failure_data
    assert starts == 1
    assert failure is not None
    assert "alarm" in failure.metadata


def test_an_interruption_ends_the_step_although_a_policy_would_restart_it() -> None:
    def work(start: int) -> None:
        raise dg.DagsterExecutionInterruptedError

    starts = 0

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=5))
    def component() -> None:
        nonlocal starts
        starts += 1
        with translate_errors():
            work(starts)

    with pytest.raises(StepCancelled):
        dg.materialize([component])
    assert starts == 1


def test_a_bug_stays_itself() -> None:
    with pytest.raises(ZeroDivisionError), translate_errors():
        _ = 1 / 0


def test_it_decorates_plain_functions() -> None:
    @translate_errors()
    def check() -> None:
        raise WindowNotRestorable("no")

    with pytest.raises(dg.Failure) as caught:
        check()
    assert not caught.value.allow_retries
