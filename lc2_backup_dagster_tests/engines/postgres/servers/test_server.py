"""What refusals of servers mean, which tools are found, and the servers of demo and tests themselves."""

import os
import shutil
import stat
from contextlib import ExitStack
from dataclasses import replace

import pytest

from lc2_backup_dagster.demo.servers.postgres import PostgresServer, wheel_bin_directory
from lc2_backup_dagster.engines.postgres.servers.account import can_execute, server_account
from lc2_backup_dagster.engines.postgres.servers.preflight import check_server, server_major
from lc2_backup_dagster.engines.postgres.servers.replication import identify_system
from lc2_backup_dagster.engines.postgres.servers.tools import find_programs, find_tools
from lc2_backup_dagster.model.errors import (
    AccessDenied,
    ConfigurationError,
    ServerUnavailable,
    ToolMissing,
    ToolTooOld,
)
from lc2_backup_dagster_tests.engines.postgres.asking import tools_of
from lc2_backup_dagster_tests.fixtures_postgres import BACKUP_ROLE, backup_server


def test_a_wrong_password_is_access_denied_and_not_shown(postgres):
    with pytest.raises(AccessDenied, match="lc2_backup") as refusal:
        server_major(postgres.server(user=BACKUP_ROLE, password="wrong-one"))
    assert "wrong-one" not in str(refusal.value)


def test_a_missing_role_and_a_missing_database_are_named(postgres):
    with pytest.raises(AccessDenied, match="nobody-here"):
        server_major(postgres.server(user="nobody-here", password="x"))
    with pytest.raises(ConfigurationError, match="no_such_database"):
        server_major(postgres.server("no_such_database"))


def test_a_server_that_does_not_listen_is_unavailable(postgres):
    with pytest.raises(ServerUnavailable, match="127.0.0.1:1 "):
        server_major(replace(postgres.server(), port=1))
    with pytest.raises(ServerUnavailable):
        server_major(replace(postgres.server(), host="no-such-host.invalid"))


def test_a_server_without_tls_refuses_sslmode_require_clearly(postgres):
    with pytest.raises(ConfigurationError, match="no secure connection"):
        server_major(replace(postgres.server(), sslmode="require"))


@pytest.mark.parametrize("major", [17, 18])
def test_the_least_privilege_role_passes_and_learns_the_facts(major, request):
    server = request.getfixturevalue("postgres" if major == 17 else "postgres_18")
    facts = check_server(backup_server(server), tools_of(major), physical=True, dump=True)
    assert (facts.major, facts.checksums_on, facts.wal_level, facts.in_recovery) == (major, True, "replica", False)
    identity = identify_system(backup_server(server))
    assert (facts.system_identifier, facts.timeline) == (identity.system_identifier, identity.timeline)


def test_a_server_without_free_wal_senders_is_unavailable_for_now(postgres):
    with ExitStack() as stack:
        for number in range(9):
            connection = stack.enter_context(postgres.server().connect(replication=True))
            connection.pgconn.exec_(f"CREATE_REPLICATION_SLOT s{number} TEMPORARY PHYSICAL RESERVE_WAL".encode())
        with pytest.raises(ServerUnavailable, match="max_wal_senders=10"):
            check_server(backup_server(postgres), tools_of(17), physical=True, dump=False)


def test_tools_are_looked_for_everywhere_until_they_are_new_enough(tmp_path, monkeypatch):
    old = tmp_path / "old"
    old.mkdir()
    for name in ("pg_dump", "pg_restore", "pg_basebackup"):
        (old / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 13.4'\n")
        (old / name).chmod(0o755)
    assert find_tools(old).version == "13.4"
    assert find_tools(old, at_least_major=18).major == 18
    monkeypatch.setenv("PATH", str(old))
    assert find_tools().bin_directory == old
    with pytest.raises(ToolTooOld, match=r"server is PostgreSQL 99, the newest tools found are 18.*client-99"):
        find_tools(old, at_least_major=99)
    with pytest.raises(ToolMissing):
        find_programs("pg_dump", major=99)
    with pytest.raises(ConfigurationError, match="no directory"):
        find_tools(tmp_path / "absent")


def test_a_server_goes_on_over_the_same_data_after_stop_and_kill(tmp_path):
    with PostgresServer(tmp_path / "server", password="one", fsync=False) as server:
        server.create_database("kept")
        server.execute("CREATE TABLE t AS SELECT 1 AS i", database="kept")
        server.kill()
        assert not server.running
        server.start()
        server.stop()
    again = PostgresServer(tmp_path / "server", password="another, ignored", fsync=False)
    again.password = "one"
    with again:
        with again.server("kept").connect() as connection:
            assert connection.execute("SELECT i FROM t").fetchall() == [(1,)]
        assert stat.S_IMODE(again.data_directory.stat().st_mode) == 0o700
    place = again.place
    again.remove()
    assert not place.exists()
    assert not (tmp_path / "server").exists()


def test_a_taken_port_is_named(postgres, tmp_path):
    server = PostgresServer(tmp_path / "server", password="x", port=postgres.port, fsync=False)
    try:
        with pytest.raises(ConfigurationError, match=f"port {postgres.port} is taken"):
            server.start()
    finally:
        server.remove()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must switch to another user")
def test_root_below_a_private_home_still_gets_a_server(tmp_path):
    """The account cannot reach the checkout: programs are copied, data lies elsewhere, both found again."""
    home = tmp_path / "home"
    shutil.copytree(wheel_bin_directory(17).parent, home / "pginstall", symlinks=True)
    home.chmod(0o700)
    assert not can_execute(server_account(), home / "pginstall/bin/postgres")
    server = PostgresServer(home / "state", password="x", bin_directory=home / "pginstall/bin", fsync=False)
    try:
        with server:
            assert server.place not in home.rglob("*")
            server.create_database("kept")
        again = PostgresServer(home / "state", password="x", bin_directory=home / "pginstall/bin", fsync=False)
        with again, again.server("kept").connect():
            assert again.place == server.place
    finally:
        server.remove()
    assert not server.place.exists()
