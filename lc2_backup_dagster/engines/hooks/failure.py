"""Words a hook's failure: what happened, the end of its output, and all that was kept of it as an attribute."""

import signal

from lc2_backup_dagster.engines.hooks.hook import Hook, Output
from lc2_backup_dagster.model.errors import HookFailed, HookTimedOut

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


def failed(hook: Hook, what: str, *, output: Output | None = None, hint: str | None = None) -> HookFailed:
    """Return the error for a hook, for example ``what="left no artefact at /x"``."""
    return HookFailed(_message(hook, what, output), hint=hint, hook=hook.name, output=output.text if output else "")


def timed_out(hook: Hook, *, output: Output, where: str = "nothing of it is left running") -> HookTimedOut:
    """Return the error for a hook whose time was over."""
    return HookTimedOut(
        _message(hook, f"was stopped after {hook.timeout_seconds} s, {where}", output),
        hint="give it a longer timeout, or look for what it waits for",
        hook=hook.name,
        output=output.text,
    )


def ended_badly(hook: Hook, code: int, *, output: Output) -> HookFailed:
    """Return the error for an exit code other than 0; negative is a signal, as in ``subprocess``."""
    number = -code if code < 0 else 0
    ended = f"was killed by {_signal(number)}" if number else f"ended with exit code {code}"
    hints = {
        _NOT_FOUND: f"exit code 127 mostly means that a command was not found: {hook.command[0]}",
        _NOT_EXECUTABLE: f"exit code 126 mostly means that a command may not be executed: {hook.command[0]}",
    }
    return HookFailed(
        _message(hook, ended, output), hint=hints.get(code), hook=hook.name, exit_code=code, output=output.text
    )


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _message(hook: Hook, what: str, output: Output | None) -> str:
    if output is None:
        return f"hook {hook.name} {what}"
    return f"hook {hook.name} {what}; its output ends: {output.last_lines() or '(it said nothing)'}"
