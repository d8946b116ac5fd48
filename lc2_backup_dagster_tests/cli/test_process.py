"""The installed program, as a shell or a script calls it: exit codes, streams, no secrets, no traceback."""

import json
import os
import pty
import subprocess
from contextlib import suppress

import pytest

from lc2_backup_dagster_tests.cli.calling import PROGRAM, lc2, lc2_process, secrets_of
from lc2_backup_dagster_tests.operations.tiny_site import content_of

SITE = "retail/liferay"


def test_0_done(backed_up):
    answer = lc2_process(backed_up.site, "--json", "list", SITE)
    assert answer.code == 0
    assert [each["site"] for each in json.loads(answer.out)] == [SITE] * 5
    assert answer.err == ""


def test_1_a_person_acts(backed_up):
    answer = lc2_process(backed_up.site, "show", SITE, "nothing-of-that-name")
    assert answer.code == 1
    assert answer.err.startswith("RecoveryPointNotFound: ")
    assert "hint: " in answer.err
    assert answer.out == ""


def test_2_wrong_usage(backed_up):
    answer = lc2_process(backed_up.site, "restore", SITE)
    assert answer.code == 2
    assert "Usage: lc2-backup restore" in answer.err


def test_3_try_again(copy, backed_up):
    away = copy.changed(copy.root, restore__database__port=1)
    answer = lc2_process(away, "restore", SITE, backed_up.dump.backup.backup_id)
    assert answer.code == 3
    assert "cannot be reached" in answer.err


def test_4_damaged(copy, backed_up):
    path = copy.bucket / "backups/retail/liferay/recovery_point" / backed_up.point.backup.backup_id / "manifest.json"
    body = path.read_bytes()
    path.unlink()
    path.write_bytes(body.replace(b'"binding"', b'"findung"'))
    answer = lc2_process(copy, "verify", SITE, backed_up.point.backup.backup_id)
    assert answer.code == 4
    assert "recovery_point" in answer.out
    assert "manifest.json" in answer.out


def test_progress_is_shown_on_a_terminal_and_never_between_what_is_printed(backed_up):
    """Standard error is a terminal, standard output a pipe."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [str(PROGRAM), "verify", SITE, backed_up.base.backup.backup_id],
            env={**os.environ, **backed_up.site.variables, "TERM": "xterm", "COLUMNS": "150"},
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
        ) as process:
            os.close(theirs)
            shown = b""
            with suppress(OSError):  # the terminal is gone when the process has ended
                while piece := os.read(ours, 65536):
                    shown += piece
            assert process.stdout is not None
            printed = process.stdout.read()
    finally:
        os.close(ours)
    assert process.returncode == 0
    assert backed_up.base.backup.backup_id in shown.decode()
    assert "MB" in shown.decode()
    assert printed.startswith("database ")
    assert "\x1b[?25" not in printed


def test_the_exit_codes_are_documented(backed_up):
    text = lc2(backed_up.site, "--help").out
    for code, meaning in enumerate(["done", "failed", "wrong usage", "not possible right now", "damaged"]):
        assert f"  {code}  " in text
        assert meaning in text
    for command in ("check", "list", "show", "restore", "verify", "rebuild", "demo", "keygen"):
        assert lc2(backed_up.site, command, "--help").code == 0


def test_no_secret_is_in_any_record_manifest_or_marker(backed_up):
    secrets = secrets_of(backed_up.site.environment)
    assert len(secrets) == 2
    for name, body in content_of(backed_up.site.bucket).items():
        assert not [secret for secret in secrets if secret.encode() in body], name


@pytest.mark.parametrize("as_json", [False, True])
def test_no_secret_is_printed_by_any_command_whatever_it_meets(copy, backed_up, as_json):
    """``lc2`` looks for every secret in everything that is said."""
    options = ["--json"] if as_json else []
    point, base = backed_up.point.backup.backup_id, backed_up.base.backup.backup_id
    wrong = {"TINY_DB_PASSWORD": "a-wrong-secret-1", "TINY_RESTORE_PASSWORD": "a-wrong-secret-2"}
    for variables in ({}, wrong):
        for command in (
            ["check"],
            ["list"],
            ["show", SITE, point],
            ["show", SITE, base],
            ["verify", SITE],
            ["restore", SITE, point, "--dry-run"],
        ):
            answer = lc2(copy, *options, *command, **variables)
            assert answer.code in (0, 1, 4)
    refused = lc2(copy, *options, "restore", SITE, point, **wrong)
    assert refused.code == 1
    assert "wrong or missing password" in refused.err
