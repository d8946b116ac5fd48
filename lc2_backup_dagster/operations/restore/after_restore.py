"""What follows a restore where that was asked for: the restored configuration is imported, the CDN is told of files.

Nothing here undoes a restore. What fails is told beside what was restored, with what a person does about it: to restore
again would not help.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from lc2_backup_dagster.engines.files.restore.invalidation import invalidate
from lc2_backup_dagster.engines.files.scratch import RowSorter
from lc2_backup_dagster.engines.hooks.hook import Hook
from lc2_backup_dagster.engines.hooks.ports import Say
from lc2_backup_dagster.model.errors import AfterRestoreFailed, BackupError
from lc2_backup_dagster.operations.restore.request import ConfigurationPlan, RestorePlan
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import CdnAccess, SiteContext

CONFIGURATION_IMPORT, CDN_INVALIDATION = "configuration_import", "cdn_invalidation"
_LONGEST_TEXT = 4000
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Something that was done after a restore.

    Attributes:
        name: ``configuration_import`` or ``cdn_invalidation``.
        succeeded: whether all of it was.
        text: what came of it, one line for people.
        hint: what a person does now; None where nothing is to be done.
        seconds: how long it took.
    """

    name: str
    succeeded: bool
    text: str
    hint: str | None
    seconds: float

    def told(self) -> dict[str, Any]:
        """Return what the log shall know of it; the log holds no fractions."""
        told = asdict(self)
        del told["seconds"]
        return told | {"milliseconds": round(self.seconds * 1000)}


def failure_of(follow_ups: Sequence[FollowUp], point: str) -> AfterRestoreFailed | None:
    """Return the error of a restore whose data is all there, but not all that was to follow; None where all is well."""
    failed = [each for each in follow_ups if not each.succeeded]
    if not failed:
        return None
    return AfterRestoreFailed(
        f"{point} is restored, all of its data is there; but what was to follow failed: "
        + " | ".join(each.text for each in failed),
        hint="do not restore again; " + "; ".join(each.hint for each in failed if each.hint),
        failed=[each.name for each in failed],
    )


@contextmanager
def changed_keys(context: SiteContext, plan: RestorePlan) -> Generator[RowSorter | None]:
    """Give a place for the keys that a restore writes or deletes, on disk where they are many; None where none is told.

    Args:
        context: the site.
        plan: says whether a CDN is to be told.
    """
    if plan.files is None or plan.files.cdn is None:
        yield None
        return
    with (
        scratch_folder(context.database.scratch_directory, context.site, "restored-keys") as scratch,
        RowSorter(scratch) as keys,
    ):
        yield keys


def tell_cdn(cdn: CdnAccess, keys: RowSorter) -> FollowUp:
    """Tell the CDN of every key, in batches; a batch that fails does not stop the next one."""
    done, seconds = _timed(lambda: invalidate(_keys(keys), cdn.call, cdn.rules))
    hint = f"mend what '{cdn.title}' needs, and invalidate everything below '{cdn.rules.prefix}' by hand"
    return FollowUp(
        CDN_INVALIDATION, done.succeeded, done.text()[:_LONGEST_TEXT], None if done.succeeded else hint, seconds
    )


def import_configuration(context: SiteContext, plan: ConfigurationPlan, directory: Path, *, say: Say) -> FollowUp:
    """Run the site's command on the restored documents.

    Args:
        context: the site; its plan has proven that it names a command.
        plan: names the command for people.
        directory: the restored documents.
        say: told what the command says, as it comes.
    """
    told = context.restore.configuration_import
    assert told is not None
    hook = Hook(CONFIGURATION_IMPORT, told.words(directory), told.timeout_seconds)

    def run() -> str | None:
        try:
            told.runner.run(hook, run="", artifact=None, say=lambda line: say(f"import: {line}"))
        except BackupError as error:
            return f"{error.message}; hint: {error.hint}" if error.hint else error.message
        return None

    say(f"import: begins, may take {told.timeout_seconds} s: {plan.import_command}")
    problem, seconds = _timed(run)
    if problem is None:
        return FollowUp(CONFIGURATION_IMPORT, True, f"configuration imported from {directory}", None, seconds)
    return FollowUp(
        CONFIGURATION_IMPORT,
        False,
        f"configuration not imported, or not all of it: {problem}"[:_LONGEST_TEXT],
        f"mend what the command needs and run it by hand: {plan.import_command}",
        seconds,
    )


def _keys(keys: RowSorter) -> Iterator[str]:
    return (key for (key,) in keys.rows())


def _timed(action: Callable[[], _Result]) -> tuple[_Result, float]:
    began = time.monotonic()
    return action(), time.monotonic() - began
