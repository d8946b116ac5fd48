"""Every right that a dump needs: without it the dump is refused before it begins, and the printed statement is enough.

Each test takes a role without any rights, applies what the hints print, word for word, and dumps.
"""

import secrets

import pytest

from lc2_backup_dagster.engines.postgres.dump.capture import DUMP_STREAM, capture_dump
from lc2_backup_dagster.engines.postgres.dump.restore import restore_dump
from lc2_backup_dagster.engines.postgres.servers.preflight import check_server
from lc2_backup_dagster.engines.postgres.servers.tools import find_tools
from lc2_backup_dagster.model.errors import MissingPrivilege
from lc2_backup_dagster_tests.engines.postgres.asking import content_of
from lc2_backup_dagster_tests.engines.postgres.collected import FileStreams

MAJORS = [*(pytest.param(major, marks=pytest.mark.majors) for major in (13, 14, 15, 16)), 17, 18]


class Poor:
    """A role without rights on a database, and what it is told."""

    def __init__(self, server, database: str, name: str):
        self.server, self.database, self.name = server, database, name
        self.address = server.server(database, user=name, password=name)
        self.tools = find_tools(at_least_major=max(server.major, 17))
        self.applied: list[str] = []

    def check(self) -> None:
        check_server(self.address, self.tools, physical=False, dump=True)

    def is_told(self) -> str:
        """Return the statement that the refusal prints, and apply it as an administrator would."""
        with pytest.raises(MissingPrivilege) as refusal:
            self.check()
        statement = refusal.value.hint
        assert "superuser" not in str(refusal.value).lower()
        self.applied.append(statement)
        with self.server.server(self.database).connect() as connection:
            connection.execute(statement.encode())
        return statement

    def dumps(self, directory, **options) -> FileStreams:
        directory.mkdir(exist_ok=True)
        streams = FileStreams(directory)
        capture_dump(self.address, self.tools, write=streams, backup_id="x", **options)
        return streams


@pytest.fixture
def make_poor(postgres_of, make_database):
    made = []

    def make(major: int, *statements: str, options: str = "LOGIN", name: str | None = None) -> Poor:
        server = postgres_of(major)
        name = name or f"poor_{secrets.token_hex(3)}"
        server.create_role(name, password=name, options=options)
        poor = Poor(server, make_database(server, *statements).database, name)
        made.append(poor)
        return poor

    yield make
    for poor in made:
        quoted = '"' + poor.name.replace('"', '""') + '"'
        poor.server.execute(f"DROP OWNED BY {quoted}", database=poor.database)
        poor.server.execute(f"DROP ROLE {quoted}")


@pytest.fixture
def landlord(postgres_of):
    """A role of the application that owns something; dropped after the databases."""
    made = []

    def make(major: int) -> str:
        name = f"landlord_{secrets.token_hex(3)}"
        postgres_of(major).create_role(name, password=name)
        made.append((postgres_of(major), name))
        return name

    yield make
    for server, name in made:
        for database in databases_with(server, name):
            server.execute(f"DROP OWNED BY {name}", database=database)
        server.execute(f"DROP ROLE {name}")


def databases_with(server, role: str) -> list[str]:
    with server.server().connect() as connection:
        rows = connection.execute(
            "SELECT DISTINCT datname::text FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid"
            " WHERE s.refobjid = %s::regrole",
            [role],
        ).fetchall()
    return [row[0] for row in rows]


@pytest.mark.parametrize("major", MAJORS)
def test_tables_sequences_and_schemas(major, make_poor, tmp_path):
    poor = make_poor(
        major,
        "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i",
        "CREATE TABLE counted (id serial, k int GENERATED ALWAYS AS IDENTITY)",
        'CREATE SCHEMA "My ""private"" one"',
        'CREATE TABLE "My ""private"" one".t (i int) PARTITION BY LIST (i)',
        'CREATE SEQUENCE "My ""private"" one".s',
    )
    hint = poor.is_told()
    if major >= 14:
        assert hint == f'GRANT pg_read_all_data TO "{poor.name}"'
    else:
        assert 'GRANT USAGE ON SCHEMA "My ""private"" one", "public"' in hint
    poor.check()
    poor.dumps(tmp_path)
    # A table of tomorrow must not need another grant.
    poor.server.execute("CREATE TABLE tomorrow (id serial)", database=poor.database)
    poor.check()


def test_one_missing_right_on_a_sequence_is_enough_to_be_refused(make_poor, tmp_path):
    poor = make_poor(17, "CREATE TABLE t (id serial)")
    poor.server.execute(f'GRANT SELECT ON t TO "{poor.name}"', database=poor.database)
    with pytest.raises(MissingPrivilege, match=r"may not read public\.t_id_seq;"):
        poor.check()
    poor.server.execute(f'GRANT SELECT ON SEQUENCE t_id_seq TO "{poor.name}"', database=poor.database)
    poor.dumps(tmp_path)


@pytest.mark.parametrize("major", MAJORS)
def test_row_security(major, make_poor, tmp_path):
    poor = make_poor(
        major,
        "CREATE TABLE guarded AS SELECT i FROM generate_series(1, 10) i",
        "ALTER TABLE guarded ENABLE ROW LEVEL SECURITY",
    )
    poor.is_told()
    with pytest.raises(MissingPrivilege, match="sees only some rows of guarded because of row security"):
        poor.check()
    assert poor.is_told() == f'ALTER ROLE "{poor.name}" BYPASSRLS'
    streams = poor.dumps(tmp_path, references_sql="SELECT i FROM guarded")
    assert len(streams.path("file_references.jsonl").read_text().splitlines()) == 10


def test_an_owner_without_forced_row_security_needs_no_bypassrls(make_poor, tmp_path):
    poor = make_poor(17, "CREATE TABLE mine (i int)", "ALTER TABLE mine ENABLE ROW LEVEL SECURITY")
    poor.server.execute(f'ALTER TABLE mine OWNER TO "{poor.name}"', database=poor.database)
    poor.dumps(tmp_path)
    poor.server.execute("ALTER TABLE mine FORCE ROW LEVEL SECURITY", database=poor.database)
    assert "BYPASSRLS" in poor.is_told()


@pytest.mark.parametrize("major", MAJORS)
def test_large_objects_of_the_application_and_of_a_superuser(major, make_poor, landlord, tmp_path):
    owner = landlord(major)
    poor = make_poor(
        major,
        "SELECT lo_from_bytea(100 + i, 'x') FROM generate_series(1, 14) i",
        "SELECT lo_create(5)",
        f"ALTER LARGE OBJECT 5 OWNER TO {owner}",
        "GRANT SELECT ON LARGE OBJECT 101 TO PUBLIC",
        "GRANT SELECT ON LARGE OBJECT 102 TO pg_monitor",
    )
    first = poor.is_told()
    # Never membership in a superuser: its objects are granted one by one.
    assert f'GRANT "{owner}" TO "{poor.name}"' in first
    assert 'GRANT "postgres"' not in first
    assert "LOOP" in first
    poor.check()
    poor.server.execute("SELECT lo_create(7)", "SELECT lo_create(8)", database=poor.database)
    assert poor.is_told() == f'GRANT SELECT ON LARGE OBJECT 7, 8 TO "{poor.name}"'
    poor.dumps(tmp_path)


def test_lo_compat_privileges_need_no_grants(make_poor, tmp_path):
    poor = make_poor(17, "SELECT lo_create(5)")
    with pytest.raises(MissingPrivilege, match="large objects of postgres"):
        poor.check()
    poor.server.execute(f"ALTER DATABASE {poor.database} SET lo_compat_privileges = on")
    poor.dumps(tmp_path)


@pytest.mark.parametrize("major", MAJORS)
def test_the_right_to_connect(major, make_poor, tmp_path):
    poor = make_poor(major)
    poor.server.execute(f"REVOKE CONNECT ON DATABASE {poor.database} FROM PUBLIC")
    assert poor.is_told() == f'GRANT CONNECT ON DATABASE "{poor.database}" TO "{poor.name}"'
    poor.dumps(tmp_path)


@pytest.mark.parametrize("major", MAJORS)
def test_a_role_that_does_not_inherit_is_told_how_to(major, make_poor, landlord, tmp_path):
    owner = landlord(major)
    poor = make_poor(
        major,
        "CREATE TABLE t (id serial)",
        "SELECT lo_create(5)",
        f"ALTER LARGE OBJECT 5 OWNER TO {owner}",
        options="LOGIN NOINHERIT",
    )
    for _ in range(2):
        poor.is_told()
        try:
            poor.check()
            break
        except MissingPrivilege:
            continue
    assert ("WITH INHERIT TRUE" in poor.applied[-1]) == (major >= 16)
    poor.dumps(tmp_path)


def test_names_that_need_quotes_are_quoted(make_poor, tmp_path):
    poor = make_poor(17, "CREATE TABLE t (i int)", name='Poor "one"')
    assert poor.is_told() == 'GRANT pg_read_all_data TO "Poor ""one"""'
    poor.dumps(tmp_path)


def test_views_and_foreign_tables_need_no_right(make_poor, tmp_path):
    """Their rows are not in a dump: a server that is away, or a view of secrets, must not stop one."""
    poor = make_poor(
        17,
        "CREATE FOREIGN DATA WRAPPER nowhere",
        "CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere",
        "CREATE FOREIGN TABLE remote (i int) SERVER elsewhere",
        "CREATE VIEW secrets AS SELECT 1",
        "CREATE MATERIALIZED VIEW kept AS SELECT 1",
    )
    poor.dumps(tmp_path)


def test_tables_of_an_extension_are_read_only_where_it_says_that_they_are_configuration(
    make_poor, postgres_18, tmp_path
):
    folder = postgres_18.place / "extensions"
    (folder / "extension").mkdir(parents=True)
    (folder / "extension/lc2_shop.control").write_text("default_version = '1'\nrelocatable = true\n")
    (folder / "extension/lc2_shop--1.sql").write_text(
        "CREATE TABLE shop_settings (k text); CREATE TABLE shop_cache (k text);"
        "CREATE SEQUENCE shop_numbers; SELECT pg_catalog.pg_extension_config_dump('shop_settings', '');"
    )
    for path in (folder, folder / "extension"):
        path.chmod(0o755)
    postgres_18.execute(f"ALTER ROLE postgres SET extension_control_path = '{folder}'")
    try:
        poor = make_poor(
            18, "CREATE EXTENSION lc2_shop", "INSERT INTO shop_settings VALUES ('kept')",
            "INSERT INTO shop_cache VALUES ('not kept')",
        )  # fmt: skip
        with pytest.raises(MissingPrivilege, match=r"may not read public\.shop_settings;"):
            poor.check()
        poor.server.execute(f'GRANT SELECT ON shop_settings TO "{poor.name}"', database=poor.database)
        streams = poor.dumps(tmp_path)
        with streams.open(DUMP_STREAM) as source:
            restore_dump(source, postgres_18.server(), poor.tools, target_database="shop_restored")
        before = content_of(postgres_18, poor.database, "shop_settings")
        assert content_of(postgres_18, "shop_restored", "shop_settings", "shop_cache") == [*before, (0, 0)]
    finally:
        postgres_18.execute("DROP DATABASE IF EXISTS shop_restored", "ALTER ROLE postgres RESET extension_control_path")


def test_nothing_is_written_before_every_right_is_there(make_poor, tmp_path):
    poor = make_poor(17, "CREATE TABLE t (i int)")
    streams = FileStreams(tmp_path)
    with pytest.raises(MissingPrivilege):
        capture_dump(poor.address, poor.tools, write=streams, backup_id="x")
    assert streams.started == []
