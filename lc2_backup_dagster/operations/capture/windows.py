"""How a window may be filled: now, as of its end, or not at all. Pure.

A run's creation time tells what was meant (a run asked for at 10:59:58 may start at 11:00:02), the captured moment
tells what was got. Today's data is never filed under yesterday (L-32).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.errors import WindowNotRestorable
from lc2_backup_dagster.model.window import Moment, Window

_EARLY = timedelta(seconds=30)


def is_past(window: Window, *, asked_at: datetime) -> bool:
    """Tell whether a window had ended when a run for it was asked for: what is captured now cannot fill it."""
    return asked_at >= window.end


def require_open(window: Window, *, asked_at: datetime, what: str, restorable: Sequence[Moment]) -> None:
    """Make sure that a capture of the present can fill the window.

    Args:
        window: what is to be filled.
        asked_at: when the run was created.
        what: the component, for the message.
        restorable: moments that can be restored, oldest first, for the message.

    Raises:
        WindowNotRestorable: the window has ended, and nothing rebuilds it; or it has not begun.
    """
    # A schedule fires in the first moment of a window, by another clock than this one; the captured moment decides.
    if window.start - _EARLY <= asked_at < window.end:
        return
    if asked_at < window.start:
        raise WindowNotRestorable(
            f"window {window.key} of {what} has not begun", hint=f"it begins at {to_text(window.start)}"
        )
    raise not_restorable(window, what=what, restorable=restorable)


def not_restorable(
    window: Window,
    *,
    what: str,
    restorable: Sequence[Moment],
    because: str = "nothing was recorded from which it could be rebuilt",
) -> WindowNotRestorable:
    """Return the refusal of a past window, which names the nearest moments on both sides of its end."""
    return WindowNotRestorable(
        f"window {window.key} of {what} ended at {to_text(window.end)}, and {because}; a backup taken now would hold "
        f"today's data",
        hint=nearest(window.end, restorable),
        window=window.key,
    )


def require_filled(window: Window, captured: datetime, *, what: str, backup_id: str, actual: Window) -> None:
    """Make sure that a backup that was just committed fills the window it was asked for.

    Args:
        window: what was asked for.
        captured: the moment that decides.
        what: the component, for the message.
        backup_id: the backup that was kept.
        actual: the window the moment lies in.

    Raises:
        WindowNotRestorable: the capture came too late; the backup is kept under the window it belongs to.
    """
    if captured in window:
        return
    raise WindowNotRestorable(
        f"window {window.key} of {what} was missed: the captured moment {to_text(captured)} lies in window "
        f"{actual.key}",
        hint=f"backup {backup_id} was kept and fills {actual.key}; start earlier within the window",
        window=window.key,
        backup_id=backup_id,
    )


def torn(window: Window, *, first: datetime, last: datetime, what: str, backup_id: str) -> WindowNotRestorable:
    """Return the refusal of a backup whose pieces were read on both sides of a window's end; it fills neither."""
    return WindowNotRestorable(
        f"window {window.key} of {what} was missed: pieces of it were listed from {to_text(first)} to {to_text(last)}, "
        f"on both sides of the end of a window",
        hint=f"backup {backup_id} was kept and can be restored, but fills no window; start earlier within the window",
        window=window.key,
        backup_id=backup_id,
    )


def nearest(wanted: datetime, restorable: Sequence[Moment]) -> str:
    """Name the restorable moments on both sides of a time."""
    before = max((each.restorable_until for each in restorable if each.restorable_until <= wanted), default=None)
    after = min((each.restorable_from for each in restorable if each.restorable_from > wanted), default=None)
    sides = [
        f"the nearest {name} is {to_text(moment)}" for name, moment in (("before", before), ("after", after)) if moment
    ]
    return "; ".join(sides) if sides else "nothing of this component can be restored yet"
