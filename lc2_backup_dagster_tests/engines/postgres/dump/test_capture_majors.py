"""A dump of every supported major version restores on the same and on every newer one, with all that is in it."""

import pytest

from lc2_backup_dagster.demo.compare import compare_databases
from lc2_backup_dagster.engines.postgres.dump.capture import GLOBALS_STREAM, capture_dump, dump_stream_name
from lc2_backup_dagster.engines.postgres.dump.directory import DIRECTORY_STREAM
from lc2_backup_dagster.engines.postgres.dump.restore import DumpOptions, restore_dump
from lc2_backup_dagster.engines.postgres.servers.tools import find_tools
from lc2_backup_dagster_tests.engines.postgres.asking import nothing_left
from lc2_backup_dagster_tests.engines.postgres.collected import FileStreams
from lc2_backup_dagster_tests.fixtures_postgres import BACKUP_ROLE, backup_server

pytestmark = pytest.mark.majors

MAJORS = (13, 14, 15, 16, 17, 18)
PAIRS = [(source, target) for source in MAJORS for target in MAJORS if source <= target]
EVERYTHING = (
    'CREATE SCHEMA "Ünïcode\'s"',
    "CREATE TYPE mood AS ENUM ('sad', 'ok')",
    "CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100)",
    """CREATE TABLE "Ünïcode's"."a table" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m mood, p percent,
       t text, b bytea, n numeric, w timestamptz, j jsonb, a text[], u uuid,
       d text GENERATED ALWAYS AS (t || '!') STORED)""",
    """INSERT INTO "Ünïcode's"."a table" (m, p, t, b, n, w, j, a, u)
       SELECT 'ok', i % 100, 'row ä ' || i, decode(md5(i::text), 'hex'), i / 7.0,
         '2026-11-23 02:00Z'::timestamptz + i * '1 hour'::interval, jsonb_build_object('i', i),
         ARRAY['x', NULL, i::text], md5(i::text)::uuid FROM generate_series(1, 500) i""",
    """INSERT INTO "Ünïcode's"."a table" (t) VALUES (NULL), (''), (E'tab\\t, new line\\n, backslash \\\\ and \\\\.')""",
    'CREATE TABLE child (id int PRIMARY KEY, parent bigint REFERENCES "Ünïcode\'s"."a table")',
    "INSERT INTO child SELECT i, i FROM generate_series(1, 300) i",
    "CREATE TABLE days (day date, v int) PARTITION BY RANGE (day)",
    "CREATE TABLE days_november PARTITION OF days FOR VALUES FROM ('2026-11-01') TO ('2026-12-01')",
    "CREATE TABLE days_other PARTITION OF days DEFAULT",
    "INSERT INTO days SELECT date '2026-10-20' + i, i FROM generate_series(1, 60) i",
    "CREATE UNLOGGED TABLE unlogged AS SELECT i FROM generate_series(1, 50) i",
    "CREATE TABLE empty ()",
    "CREATE SEQUENCE numbers INCREMENT 5",
    "SELECT setval('numbers', 4711, false)",
    # of two tables, because newer majors print views of one in another form
    "CREATE VIEW few AS SELECT c.id, d.day FROM child c JOIN days d ON d.v = c.id",
    "CREATE MATERIALIZED VIEW total AS SELECT count(*) FROM child",
    "CREATE INDEX half ON child (parent) WHERE id > 150",
    "CREATE FUNCTION twice(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * i'",
    "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TRIGGER watch BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION nothing()",
    "CREATE FOREIGN DATA WRAPPER nowhere",
    "CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere",
    "CREATE FOREIGN TABLE remote (i int) SERVER elsewhere",
    "SELECT lo_from_bytea(70000 + i, convert_to('large object ' || i, 'UTF8')) FROM generate_series(1, 5) i",
    "COMMENT ON TABLE child IS 'it''s a child'",
    f"GRANT SELECT ON LARGE OBJECT 70001, 70002, 70003, 70004, 70005 TO {BACKUP_ROLE}",
)
# What stands for pg_read_all_data where there is none.
GRANTS_OF_13 = tuple(
    statement.format(schema=schema, role=BACKUP_ROLE)
    for schema in ("public", '"Ünïcode\'s"')
    for statement in (
        "GRANT USAGE ON SCHEMA {schema} TO {role}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
        "GRANT SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
    )
)


@pytest.fixture(scope="module")
def dumped(postgres_of, tmp_path_factory):
    """Return ``dumped(major, jobs) -> (source database, dump, streams)``; each dump is made once."""
    made = {}

    def of(major: int, jobs: int):
        server = postgres_of(major)
        if major not in made:
            server.create_database("everything")
            server.execute(*EVERYTHING, *(GRANTS_OF_13 if major == 13 else ()), database="everything")
            made[major] = server.server("everything")
        if (major, jobs) not in made:
            streams = FileStreams(tmp_path_factory.mktemp(f"dump{major}"))
            scratch = tmp_path_factory.mktemp("scratch")
            dump = capture_dump(
                backup_server(server, "everything"), find_tools(at_least_major=max(major, 17)),
                write=streams, backup_id="x", jobs=jobs, scratch=scratch,
            )  # fmt: skip
            assert (dump.jobs, dump.jobs_skipped, dump.globals_skipped) == (jobs, None, None)
            assert dump.server_version.split(".")[0] == str(major)
            made[major, jobs] = dump, streams
        return made[major], *made[major, jobs]

    yield of
    for major in [key for key in made if isinstance(key, int)]:
        postgres_of(major).execute("DROP DATABASE everything")


# Each pair in one form, by turns.
@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_dump_restores_whole_on_the_same_and_on_every_newer_major(source, target, dumped, postgres_of, tmp_path):
    jobs = 2 - (target - source) % 2
    ours, dump, streams = dumped(source, jobs)
    server = postgres_of(target)
    name = f"from_{source}"
    stream = dump_stream_name(streams.completed)
    tools = find_tools(at_least_major=max(target, int(dump.tool_version.split(".")[0])))
    try:
        with streams.open(stream) as file:
            restore_dump(
                file, server.server(), tools, target_database=name, scratch=tmp_path,
                directory=stream == DIRECTORY_STREAM,
                options=DumpOptions(jobs=jobs, properties=dump.properties),
            )  # fmt: skip
        found = compare_databases(ours, server.server(name))
        assert found.equal, found.text()
        assert (found.compared["tables"], found.compared["large objects"]) == (7, 5)
    finally:
        server.execute(f"DROP DATABASE IF EXISTS {name}")
    nothing_left(server)


@pytest.mark.parametrize("major", MAJORS)
def test_the_globals_of_every_major_name_roles_without_passwords(major, dumped, postgres_of):
    _, _, streams = dumped(major, 1)
    text = streams.path(GLOBALS_STREAM).read_text()
    assert f"CREATE ROLE {BACKUP_ROLE}" in text
    assert f"ALTER ROLE {BACKUP_ROLE} WITH" in text
    assert ("GRANT pg_read_all_data TO" in text) == (major >= 14)
    assert "SCRAM-SHA-256" not in text
