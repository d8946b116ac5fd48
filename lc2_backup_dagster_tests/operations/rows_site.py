"""A site whose rows name its files: both in memory, and time passes as a test says."""

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from lc2_backup_dagster.engines.postgres.dump.capture import REFERENCES_STREAM
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import Moment
from lc2_backup_dagster.operations.capture.bind_recovery_point import bind_recovery_point
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.restore.request import RestoreRequest, RestoreScope
from lc2_backup_dagster.operations.restore.run import Restored, restore
from lc2_backup_dagster.operations.site_context import Limits
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster_tests.builders import TESTER, a_draft
from lc2_backup_dagster_tests.fakes import MemoryStore
from lc2_backup_dagster_tests.operations.files_site import FilesSite


class RowsSite(FilesSite):
    """Files, rows that name them, and what one does with both.

    Attributes:
        rows: the key that a row names → the size it promises, or None where it says none.
    """

    def __init__(self, scratch: Path, *, source: MemoryStore | None = None, **files: Any) -> None:
        super().__init__(scratch, source=source, **files)
        self.rows: dict[str, int | None] = {}
        # Every point is bound, whatever dangles: what dangles is what these tests look at.
        self.context = replace(self.context, limits=Limits(dangling_rows_share=1.0))

    def add(self, **files: bytes) -> None:
        """Write files, each with its row; a minute passes before each."""
        for key, body in files.items():
            self.clock.move(minutes=1)
            self.source.put(key, body, create_only=False)
            self.rows[key] = len(body)

    def drop(self, *keys: str) -> None:
        """Delete rows, and then their files."""
        for key in keys:
            self.clock.move(minutes=1)
            self.rows.pop(key, None)
            self.source.delete([key])

    def dump(self, *, in_order: bool = True) -> CommittedBackup:
        """Commit a dump with the rows of this moment; a minute passes before and behind it."""
        self.clock.move(minutes=1)
        moment = self.clock.now()
        lines = [
            json.dumps({"key": key, "row_id": f"row={key}", "size_bytes": size})
            for key, size in sorted(self.rows.items(), reverse=not in_order)
        ]
        details = {"rebuilt_from": None, "system_identifier": "1", "restore_point": None}
        with self.open_repository(True).begin(
            Component.DATABASE_DUMP, window=self.today.key, initiator=TESTER
        ) as attempt:
            stream = attempt.write_stream(REFERENCES_STREAM, BytesIO("".join(f"{each}\n" for each in lines).encode()))
            draft = a_draft(
                kind=BackupKind.DUMP,
                moment=Moment(moment, moment),
                window=self.today.key,
                streams=(stream,),
                details=details,
                summary={},
            )
            backup = attempt.commit(draft)
        self.clock.move(minutes=1)
        return backup

    def bind(self) -> Captured:
        return bind_recovery_point(self.context, window=self.today, initiator=TESTER)

    def restored(self, backup_id: str, **request: Any) -> dict[str, bytes]:
        """Restore the files of a backup into an empty place, and return them."""
        target = MemoryStore()
        self.restore_to(target, backup_id, **request)
        return {key: body for key, (body, _) in target.objects.items()}

    def restore_to(self, target: MemoryStore, backup_id: str, **request: Any) -> Restored:
        context = replace(
            self.context, restore=replace(self.context.restore, open_files_target=lambda bucket, prefix: target)
        )
        wish = RestoreRequest(backup_id=backup_id, scope=RestoreScope.FILES, **request)
        return restore(context, wish, now=self.clock.now(), initiator=TESTER)
