"""The demo's receiver: started again when it dies, ended in order, and gone with the process that started it."""

import os
import signal
from pathlib import Path

from lc2_backup_dagster.demo.servers.wal_receiver import WalReceiverProcess
from lc2_backup_dagster_tests.operations.fixtures_chains import ChainSite, archived_until, slot_is_active
from lc2_backup_dagster_tests.operations.tiny_site import until


def test_a_receiver_that_was_killed_runs_again_and_goes_on_where_it_was(chain_site: ChainSite, tmp_path: Path):
    site = chain_site.changed(database__wal__enabled=True, database__wal__partialSeconds=1)
    log_file = tmp_path / "logs" / "wal-receive.log"
    with WalReceiverProcess("retail/liferay", environment=site.site.variables, log_file=log_file) as receiver:
        until(lambda: slot_is_active(site), what="it streams")
        site.capture()
        archived_until(site)
        first = receiver.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        site.write(1)
        archived_until(site)
        second = receiver.pid
        assert second not in (None, first)
    assert receiver.pid is None
    text = log_file.read_text()
    assert "ended with code -9; started again" in text
    assert "archived up to" in text, "it ended in order"
