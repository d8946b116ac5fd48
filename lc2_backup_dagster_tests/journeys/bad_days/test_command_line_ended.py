"""The command line is told to end in the middle of a restore: it cleans up behind itself."""

import os
import subprocess
import threading
from dataclasses import replace
from datetime import UTC, datetime
from signal import SIGINT, SIGTERM

import pytest

from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.cli.calling import PROGRAM
from lc2_backup_dagster_tests.journeys.bad_days.faulty_proxy import Freeze, Requests, running_proxy
from lc2_backup_dagster_tests.operations.tiny_site import content_of, databases_of, nothing_left_on, open_window, until


@pytest.mark.parametrize("ending", [SIGTERM, SIGINT], ids=["TERM", "Ctrl-C"])
def test_an_ended_restore_drops_the_half_restored_database(make_s3_site, s3_access, object_server, postgres, ending):
    with running_proxy(object_server.endpoint) as proxy:
        site = make_s3_site(access=replace(s3_access, endpoint=proxy.endpoint))
        backup = capture_database_dump(
            site.context, window=open_window(WindowLength.DAILY), asked_at=datetime.now(UTC), initiator=TESTER
        ).backup.backup_id
        before = databases_of(postgres)
        thawed = threading.Event()
        # The dump does not come any more: the new database is there, and nothing is in it yet.
        with (
            proxy.failing(Requests(r"GET .*/dump\.custom/", Freeze(thawed))) as reading,
            subprocess.Popen(
                [str(PROGRAM), "restore", "retail/liferay", backup, "--target-database", "tiny_ended"],
                env={**os.environ, **site.variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process,
        ):
            try:
                until(lambda: reading.begun, what="the dump is being read")
                [unfinished] = databases_of(postgres) - before
                assert unfinished.startswith("tiny_ended_lc2_")
                process.send_signal(ending)
            finally:
                thawed.set()
            _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Aborted!" in said
    assert "Traceback" not in said
    assert databases_of(postgres) == before
    nothing_left_on(postgres)
    assert content_of(site.scratch) == {}
