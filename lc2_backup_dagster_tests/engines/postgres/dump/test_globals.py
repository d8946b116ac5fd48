"""What is not of one database: roles, their settings and memberships, on an empty server again."""

import os
import subprocess

from lc2_backup_dagster.demo.servers.postgres import PostgresServer, wheel_bin_directory
from lc2_backup_dagster.engines.postgres.dump.capture import GLOBALS_STREAM, capture_dump
from lc2_backup_dagster_tests.engines.postgres.asking import tools_of
from lc2_backup_dagster_tests.engines.postgres.collected import FileStreams
from lc2_backup_dagster_tests.fixtures_postgres import BACKUP_ROLE, backup_server, start_server

_ROLES = """
    SELECT r.rolname, r.rolcanlogin, r.rolconnlimit, s.setconfig::text,
           ARRAY(SELECT m.roleid::regrole::text FROM pg_auth_members m WHERE m.member = r.oid ORDER BY 1)
    FROM pg_roles r LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid AND s.setdatabase = 0
    WHERE r.rolname LIKE 'lc2\\_globals%' OR r.rolname = '{role}' ORDER BY 1
"""


def roles_of(server: PostgresServer) -> list[tuple[object, ...]]:
    with server.server().connect() as connection:
        return connection.execute(_ROLES.format(role=BACKUP_ROLE)).fetchall()


def test_psql_makes_the_roles_again_from_the_globals_of_a_dump(postgres, make_database, tmp_path):
    roles = ("lc2_globals_owner", "lc2_globals_app")
    database = make_database(postgres)
    try:
        postgres.execute(
            "CREATE ROLE lc2_globals_owner NOLOGIN",
            "CREATE ROLE lc2_globals_app LOGIN CONNECTION LIMIT 7 PASSWORD 'never-stored'",
            "ALTER ROLE lc2_globals_app SET search_path = shop, public",
            "GRANT lc2_globals_owner, pg_monitor TO lc2_globals_app",
        )
        streams = FileStreams(tmp_path)
        capture_dump(backup_server(postgres, database.database), tools_of(17), write=streams, backup_id="globals")
        before = roles_of(postgres)
    finally:
        for role in roles:
            postgres.execute(f"DROP ROLE IF EXISTS {role}")

    empty = start_server(tmp_path / "empty", bin_directory=wheel_bin_directory(18))
    try:
        empty.execute(f"DROP ROLE {BACKUP_ROLE}")
        command = [
            tools_of(17).program("psql"),
            "-X",
            "-q",
            "-f",
            streams.path(GLOBALS_STREAM),
            empty.server().conninfo(),
        ]
        told = subprocess.run(
            command, env={**os.environ, "PGPASSWORD": empty.password}, capture_output=True, text=True, check=True
        )
        # The one role that every cluster has.
        complaints = [line for line in told.stderr.splitlines() if 'role "postgres" already exists' not in line]
        assert complaints == []
        assert roles_of(empty) == before
    finally:
        empty.remove()
