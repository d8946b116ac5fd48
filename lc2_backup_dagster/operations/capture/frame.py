"""The frame of every capture: the window it is for, what there was before it, and what is handed back after the commit.

Each capture fills it with its own part: choose what the backup stands on, move the data, describe it in a draft.
"""

import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from lc2_backup_dagster.engines.postgres.ports import WriteStream
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import Window
from lc2_backup_dagster.operations.capture.captured import Captured, moments
from lc2_backup_dagster.operations.capture.first_byte import FirstByte
from lc2_backup_dagster.operations.capture.windows import require_filled, require_open, torn
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.attempt import Attempt, ManifestDraft
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.site import SiteRepository


@dataclass(frozen=True, slots=True)
class CaptureFrame:
    """What every capture of one component for one window has in common.

    Attributes:
        what: the component of the site, for messages.
        window: what is to be filled.
        repository: the site's, made by a first backup.
        earlier: committed backups of the component before this one, oldest first.
        first_byte: measures how long the first stored part took.
    """

    what: str
    window: Window
    repository: SiteRepository
    earlier: tuple[CommittedBackup, ...]
    first_byte: FirstByte

    @classmethod
    def of_the_present(cls, context: SiteContext, component: Component, *, window: Window, asked_at: datetime) -> Self:
        """Open the frame for data of now; nothing was written when it raises.

        Raises:
            WindowNotRestorable: the window has ended, or has not begun.
            BackupError: the repository cannot be opened.
        """
        frame = cls.of_a_window(context, component, window=window)
        require_open(window, asked_at=asked_at, what=frame.what, restorable=moments(frame.earlier))
        return frame

    @classmethod
    def of_a_window(cls, context: SiteContext, component: Component, *, window: Window) -> Self:
        """Open the frame for a window whose moment the caller answers for."""
        return cls.of_repository(context.open_repository(True), component, window=window)

    @classmethod
    def of_repository(cls, repository: SiteRepository, component: Component, *, window: Window) -> Self:
        """Make the frame for a window whose moment the caller answers for, in a repository that is open."""
        first_byte = FirstByte(time.monotonic)
        earlier = tuple(repository.backups(component))
        return cls(f"{repository.site}/{component}", window, repository, earlier, first_byte)

    @property
    def newest(self) -> CommittedBackup | None:
        """The last committed backup of the component before this one, or None."""
        return self.earlier[-1] if self.earlier else None

    def writer(self, attempt: Attempt) -> WriteStream:
        """Return what an engine writes its streams with."""
        return lambda name, source: attempt.write_stream(name, source, on_part=self.first_byte.stored)

    def commit(
        self, attempt: Attempt, draft: ManifestDraft, *, decides: datetime, last_begun: datetime | None = None
    ) -> Captured:
        """Commit a backup under the window that its moment lies in, and make sure that it is the one asked for.

        Args:
            attempt: which has written everything the draft names.
            draft: without a window; it is set here.
            decides: the moment that decides on the window.
            last_begun: of data that was read piece by piece, when the last piece was begun.

        Raises:
            WindowNotRestorable: the capture came too late; the backup is kept under the window it belongs to.
            Fenced: the attempt was superseded.
        """
        actual = Window.around(decides, length=self.window.length)
        if last_begun is not None and last_begun not in actual:
            # Neither window's promise would be true of all of it; as a backup it can be restored like any other.
            kept = attempt.commit(replace(draft, window=None)).backup_id
            raise torn(self.window, first=decides, last=last_begun, what=self.what, backup_id=kept)
        backup = attempt.commit(replace(draft, window=actual.key))
        require_filled(self.window, decides, what=self.what, backup_id=backup.backup_id, actual=actual)
        return Captured.of(attempt, backup, actual, earlier=self.earlier, first_byte_seconds=self.first_byte.seconds)
