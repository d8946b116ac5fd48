"""Which backups of one window fit together in a recovery point, and what is missing of one. Reads the log only.

"After" is said by the log: who began after a commit captured after it, whatever two servers' clocks say.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lc2_backup_dagster.model.application import component_word
from lc2_backup_dagster.model.errors import ComponentMissing
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import Window
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.site import SiteRepository


@dataclass(frozen=True, slots=True)
class PointMembers:
    """The backups that a recovery point binds.

    Attributes:
        dump: of the database; its snapshot is the point's moment.
        files: listed after the dump's snapshot, or as of a moment that is not before it.
        configuration: exported after the dump; of a day whose dump was rebuilt later the last one of that day.
        missing: what the point should hold and does not, and why. Not empty makes it partial.
    """

    dump: CommittedBackup | None
    files: CommittedBackup | None
    configuration: CommittedBackup | None
    missing: Mapping[Component, str] = field(default_factory=dict[Component, str])

    def __iter__(self) -> Iterator[CommittedBackup]:
        """Yield the members there are, in the order of their capture."""
        yield from (each for each in (self.dump, self.files, self.configuration) if each is not None)

    @property
    def partial(self) -> bool:
        """Whether anything is not there that belongs to the point."""
        return bool(self.missing) or any(bool(each.summary.get("partial")) for each in self)


def choose_members(
    context: SiteContext, repository: SiteRepository, window: Window, *, allow_partial: bool = False
) -> PointMembers:
    """Choose the newest backups of a window that fit together, complete ones first.

    Args:
        context: the site; it says what a complete point holds.
        repository: the site's.
        window: the day.
        allow_partial: take what there is, and tell what is missing.

    Raises:
        ComponentMissing: something is missing, and may not be; or there is nothing at all.
    """
    dumps = [each for each in repository.backups(Component.DATABASE_DUMP) if each.window == window.key]
    pair = _dump_and_files(context, repository, window, dumps)
    dump = pair[0] if pair else (dumps[-1] if dumps else None)
    files = pair[1] if pair else None
    if pair is None and dump is None and Component.FILES in context.bound:
        inside = _inside(repository, Component.FILES, window)
        files = min(inside, key=_complete_and_new, default=None)
    configuration = None
    if Component.CONFIGURATION in context.bound:
        configuration = _fitting_export(repository, _inside(repository, Component.CONFIGURATION, window), dump)
    found = {
        Component.DATABASE_DUMP: dump,
        Component.FILES: files,
        Component.CONFIGURATION: configuration,
    }
    missing = {each: _why(context, each, dump) for each in context.bound if found[each] is None}
    members = PointMembers(dump, files, configuration, missing)
    if missing and not (allow_partial and any(True for _ in members)):
        words = [component_word(context.application, each) for each in missing]
        raise ComponentMissing(
            f"window {window.key} of {context.site} has no {' and no '.join(missing.values())}",
            hint=f"materialize {' and then '.join(_in_order(context, missing, words))} of this window",
            window=window.key,
        )
    return members


def _in_order(context: SiteContext, missing: Mapping[Component, str], words: Sequence[str]) -> list[str]:
    # Files that are there but do not fit need a dump before them.
    first = [str(Component.DATABASE_DUMP)] if Component.FILES in missing else []
    return [*first, *(word for word in words if word not in first)]


def _why(context: SiteContext, component: Component, dump: CommittedBackup | None) -> str:
    word = component_word(context.application, component)
    return word if dump is None or component is Component.DATABASE_DUMP else f"{word} captured after the dump"


def _dump_and_files(
    context: SiteContext, repository: SiteRepository, window: Window, dumps: Sequence[CommittedBackup]
) -> tuple[CommittedBackup, CommittedBackup] | None:
    """Choose the newest files of the window that fit a dump of it.

    Where a dump lasted past the end of its window, the first files captured after it belong to it although they lie in
    the next window.
    """
    if Component.FILES not in context.bound:
        return None
    captures = repository.backups(Component.FILES)
    inside = [each for each in captures if each.window == window.key]
    following = Window.around(window.end, length=window.length).key
    listed = [each for each in captures if each.window == following and not each.summary.get("as_of")]
    behind = [each for each in listed if dumps and _begun_after(each, dumps[-1])][:1]
    for files in (*sorted(inside, key=_complete_and_new), *behind):
        if (dump := _fitting_dump(repository, files, dumps)) is not None:
            return dump, files
    return None


def _inside(repository: SiteRepository, component: Component, window: Window) -> list[CommittedBackup]:
    return [each for each in repository.backups(component) if each.window == window.key]


def _complete_and_new(backup: CommittedBackup) -> tuple[bool, int]:
    return bool(backup.summary.get("partial")), -backup.sequence


def _fitting_export(
    repository: SiteRepository, exports: Sequence[CommittedBackup], dump: CommittedBackup | None
) -> CommittedBackup | None:
    """Return the first complete export after the dump; a partial one where there is no other.

    One from before the dump does not fit: the configuration may have changed since, and an export that failed would
    hide behind an old one. Of a day whose dump was rebuilt later it does: all its exports were made before that.
    """
    if dump is None:
        return min(exports, key=_complete_and_new, default=None)
    candidates = [each for each in exports if each.sequence > dump.sequence]
    if not candidates and _rebuilt(repository, dump):
        candidates = list(reversed(exports))
    return next((each for each in candidates if not each.summary.get("partial")), candidates[0] if candidates else None)


def _fitting_dump(
    repository: SiteRepository, files: CommittedBackup, dumps: Sequence[CommittedBackup]
) -> CommittedBackup | None:
    """Return the newest of the window's dumps whose rows' files a files backup holds, or None."""
    as_of = files.summary.get("as_of")
    if as_of is None:
        # A dump that was rebuilt is of a day that had ended when it was made: no files listed after it are of that day.
        return next(
            (each for each in reversed(dumps) if _begun_after(files, each) and not _rebuilt(repository, each)), None
        )
    return newest_not_after(dumps, as_of, window=files.window)


def newest_not_after(dumps: Sequence[CommittedBackup], as_of: str, *, window: str | None) -> CommittedBackup | None:
    """Return the newest dump of a window whose moment is not after one, or None: files as of that moment fit it."""
    fitting = [each for each in dumps if each.window == window and each.summary["restorable_until"] <= as_of]
    return max(fitting, key=lambda each: (each.summary["restorable_until"], each.sequence), default=None)


def _begun_after(files: CommittedBackup, dump: CommittedBackup) -> bool:
    return dump.sequence < files.summary["begun_sequence"]


def _rebuilt(repository: SiteRepository, dump: CommittedBackup) -> bool:
    return repository.manifest(dump.backup_id).details.get("rebuilt_from") is not None
