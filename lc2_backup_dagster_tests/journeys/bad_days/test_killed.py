"""A process killed at every step of a backup, then run again: nothing half-done is ever believed, nothing stays."""

import signal

import pytest

from lc2_backup_dagster_tests.journeys.bad_days.errand import Place

def test_x(start, run, make_site):
    site = make_site(own=True)
    for verb in ("database", "database_dump", "files", "recovery_point", "files"):
        ended = run(site, verb)
        print(verb, ended.code)
        for c in ended.calls:
            if not c.startswith("get") : print("   ", c)
        assert ended.code == 0, ended.told
