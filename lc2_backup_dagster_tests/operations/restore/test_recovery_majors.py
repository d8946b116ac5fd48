"""Servers before 17 have no increments: a full backup and archived WAL restore them to any moment."""

import tempfile
from pathlib import Path

import pytest

from lc2_backup_dagster.engines.postgres.servers.scratch import start_and_ask
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.recovery_target import RecoveryTarget
from lc2_backup_dagster.operations.restore.server import restore_server
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.fixtures_postgres import majors_directory, start_server
from lc2_backup_dagster_tests.operations.recorded_history import DATABASE, RecordedHistory

pytestmark = pytest.mark.majors


@pytest.mark.parametrize("major", [13, 14, 15, 16])
def test_a_full_backup_and_wal_restore_any_moment(major, tmp_path):
    directory = majors_directory()
    if directory is None or not (directory / f"{major}/bin/postgres").exists():
        pytest.skip(f"LC2_TEST_POSTGRES_MAJORS has no {major}/bin: PostgreSQL {major} is NOT tested")
    server = start_server(tmp_path / "server", bin_directory=directory / f"{major}/bin")
    try:
        history = RecordedHistory(server, tmp_path, database__toolsDirectory=str(directory / f"{major}/bin"))
        history.commit()
        backup = history.back_up().backup
        history.commit()
        middle = history.commit()
        history.commit()
        history.archive()
        history.promote()
        history.commit()
        end = history.archive()
        for moment, number in ((middle.time, 3), (end.time, 5)):
            with tempfile.TemporaryDirectory(prefix="lc2-test-", dir="/tmp") as place:
                Path(place).chmod(0o755)
                target = RecoveryTarget.parse("time", to_text(moment))
                restored = restore_server(
                    history.site.context, None, target_directory=Path(place) / "data", target=target, initiator=TESTER
                )
                assert (restored.chain, restored.base.major) == ((backup.backup_id,), major)
                rows = start_and_ask(
                    Path(place) / "data", "SELECT count(*) FROM log", database=DATABASE,
                    tools_directory=server.bin_directory, fsync=False,
                )  # fmt: skip
                assert rows == [(number,)]
    finally:
        server.remove()
