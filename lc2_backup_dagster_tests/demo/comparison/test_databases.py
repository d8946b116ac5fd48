from collections.abc import Callable

import pytest

from lc2_backup_dagster.demo.compare import Differences, compare_databases
from lc2_backup_dagster.demo.seed.liferay_database import seed_liferay_database
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster_tests.demo.conftest import SCALE, TEMPLATE

MakeDatabase = Callable[..., Server]


CHANGES = [
    (
        "update journalarticle set content = overlay(content placing '~' from length(content) - 9 for 1) "
        "where id_ = (select max(id_) from journalarticle)",
        "differs in content",
    ),
    (
        "update acme_attachment set content = set_byte(content, 1000, get_byte(content, 1000) # 1) "
        "where attachmentid = 1",
        "row of public.acme_attachment with (attachmentid) = (1): differs in content",
    ),
    ("update user_ set comments = null where userid = 1000000", "differs in comments"),
    (
        "delete from users_groups where (userid, groupid) = (20141, 20121)",
        "row of public.users_groups with (groupid, userid, ctcollectionid) = (20121,20141,0): only on the left",
    ),
    ("insert into counter values ('new', 1)", "row of public.counter with (name) = (new): only on the right"),
    ("update dlfileversion set size_ = size_ + 1 where fileversionid = 50001", "differs in size_"),
    ("update acme_visit set score = score + 1e-6 where visitid = 7", "differs in score"),
    ("drop index ix_762f63c6", "index public.ix_762f63c6: only on the left"),
    ("alter table layout drop constraint fk_layout_group", "constraint public.layout fk_layout_group: only on the"),
    ("alter table layout alter column name set default 'x'", "column public.layout.name: "),
    ("alter table layout alter column name set not null", "column public.layout.name: "),
    ("alter table phone alter column extension type varchar(76)", "character varying(76)"),
    ("drop rule delete_dlcontent_data_ on dlcontent", "rule public.dlcontent delete_dlcontent_data_: only on the left"),
    ("comment on table acme_visit is 'other'", "relation public.acme_visit: "),
    ("create or replace view acme_visits_by_user as select userid, count(*) as visits, max(visited) as last_visit, "
     "sum(price) + 1 as spent from acme_visit group by userid", "relation public.acme_visits_by_user: "),
    ("create function one() returns integer language sql as 'select 1'", "function public.one(): only on the right"),
    ("create type mood as enum ('good')", "type public.mood: only on the right"),
    ("select setval('acme_visit_visitid_seq', 9999)", "sequence public.acme_visit_visitid_seq: at 60"),
    ("select lo_put(900002, 3, 'x')", "large object 900002: contents differ"),
    ("select lo_unlink(900003)", "large object 900003: only on the left"),
    ("select lo_from_bytea(900000, 'x')", "large object 900000: only on the right"),
    ("create schema elsewhere create table t (n integer)", "relation elsewhere.t: only on the right"),
]  # fmt: skip


@pytest.fixture
def source(postgres: PostgresServer, liferay_template: str) -> Server:
    return postgres.server(TEMPLATE)


def change(server: Server, *statements: str) -> None:
    with server.connect() as connection:
        for statement in statements:
            connection.execute(statement.encode())


def told(differences: Differences) -> str:
    return "\n".join(map(str, differences.found))


def test_a_second_seed_of_the_same_scale_is_identical_and_everything_was_looked_at(
    postgres: PostgresServer, make_database: MakeDatabase, source: Server
):
    again = make_database(postgres)
    seed_liferay_database(again, SCALE)
    differences = compare_databases(source, again)
    assert differences.equal, differences.text()
    assert differences.compared["tables"] == 66
    assert differences.compared["rows"] > 1_000
    assert differences.compared["sequences"] == 1
    assert differences.compared["large objects"] == 4
    assert differences.compared["definitions"] > 800


def test_each_of_many_changes_is_found_and_named_and_nothing_else(source: Server, copy_liferay: Callable[[], Server]):
    restored = copy_liferay()
    change(restored, *(statement for statement, _ in CHANGES))
    differences = compare_databases(source, restored)
    found = told(differences)
    assert [expected for _, expected in CHANGES if expected not in found] == []
    # A table whose rows differ is told once by itself and once for the row; the new schema with its table and column.
    tables = [line for line in found.splitlines() if line.startswith("table ")]
    assert len(tables) == 7
    assert differences.total == len(CHANGES) + len(tables) + 2


def test_rows_without_a_key_are_compared_as_often_as_they_are_there(
    postgres: PostgresServer, make_database: MakeDatabase
):
    table = "create table t (a text, b bytea)"
    rows = "insert into t select 'row ' || n % 50, '\\x00ff' from generate_series(1, 200) n"
    left, right = make_database(postgres, table, rows), make_database(postgres, table, rows)
    assert compare_databases(left, right).equal
    change(right, "insert into t values ('row 7', '\\x00ff')")
    differences = compare_databases(left, right)
    assert "4 times on the left, 5 times on the right" in told(differences)
    change(right, "delete from t where ctid = (select min(ctid) from t where a = 'row 8')")
    differences = compare_databases(left, right)
    assert "4 times on the left, 3 times on the right" in told(differences), "equal counts hide nothing"


def test_null_and_empty_and_moved_delimiters_are_different(postgres: PostgresServer, make_database: MakeDatabase):
    table = "create table t (n integer primary key, a text, b text)"
    left = make_database(postgres, table, "insert into t values (1, '', 'x'), (2, 'a,b', 'c'), (3, 'p', 'q')")
    right = make_database(postgres, table, "insert into t values (1, null, 'x'), (2, 'a', 'b,c'), (3, 'p', 'q')")
    assert [str(found) for found in compare_databases(left, right).found] == [
        "table public.t: 3 rows against 3, contents differ",
        "row of public.t with (n) = (1): differs in a",
        "row of public.t with (n) = (2): differs in a, b",
    ]


def test_settings_of_role_or_database_do_not_make_a_difference(postgres: PostgresServer, make_database: MakeDatabase):
    table = "create table t (n integer, at timestamptz, d interval, f double precision, b bytea)"
    row = "insert into t values (1, '2026-03-29 02:30+01', '1 day 2 hours', 0.1 + 0.2, '\\xdeadbeef')"
    left, right = make_database(postgres, table, row), make_database(postgres, table, row)
    change(
        right,
        *(
            f"alter database {right.database} set {setting}"
            for setting in (
                "timezone to 'Asia/Tokyo'",
                "datestyle to 'German'",
                "intervalstyle to 'iso_8601'",
                "extra_float_digits to -15",
                "bytea_output to 'escape'",
                "search_path to public",
            )
        ),
    )
    assert compare_databases(left, right).equal


def test_a_table_with_a_dropped_column_equals_one_that_never_had_it(
    postgres: PostgresServer, make_database: MakeDatabase
):
    rows = "insert into t (n, b) select n, 'x' from generate_series(1, 10) n"
    left = make_database(
        postgres, "create table t (n integer primary key, a text, b text)", rows, "alter table t drop column a"
    )
    right = make_database(postgres, "create table t (n integer primary key, b text)", rows)
    assert compare_databases(left, right).equal


def test_partitions_and_awkward_names_are_compared(postgres: PostgresServer, make_database: MakeDatabase):
    statements = (
        'create table "We""ird %s" ("a b" integer, "lc2" text, primary key ("a b")) partition by range ("a b")',
        'create table part1 partition of "We""ird %s" for values from (0) to (10)',
        'insert into "We""ird %s" select n, n::text from generate_series(0, 9) n',
    )
    left, right = make_database(postgres, *statements), make_database(postgres, *statements)
    assert compare_databases(left, right).equal
    change(right, "update part1 set lc2 = 'other' where \"a b\" = 3")
    assert "row of public.part1 with (a b) = (3): differs in lc2" in told(compare_databases(left, right))


def test_only_some_of_many_different_rows_are_named(postgres: PostgresServer, make_database: MakeDatabase):
    table = "create table t (n integer primary key, a text)"
    left = make_database(postgres, table, "insert into t select n, 'x' from generate_series(1, 30000) n")
    right = make_database(postgres, table, "insert into t select n, 'y' from generate_series(1, 30000) n")
    differences = compare_databases(left, right, samples=4)
    assert differences.total == 5
    assert "more than 4 rows differ" in differences.text()


def test_a_sequence_may_be_ahead_after_recovery_when_told_so(postgres: PostgresServer, make_database: MakeDatabase):
    left = make_database(postgres, "create sequence s", "select setval('s', 10)")
    right = make_database(postgres, "create sequence s", "select setval('s', 42)")
    assert not compare_databases(left, right).equal
    assert compare_databases(left, right, sequence_slack=32).equal
    assert not compare_databases(right, left, sequence_slack=32).equal, "a restored sequence must never be behind"
    assert compare_databases(right, left, sequence_lag=32).equal, "unless the other side is a dump of a database in use"
    assert not compare_databases(right, left, sequence_lag=31).equal


def test_large_objects_are_compared_beyond_a_piece_and_a_page(postgres: PostgresServer, make_database: MakeDatabase):
    many = "select lo_from_bytea(n::oid, int4send(n)) from generate_series(70001, 70650) n"
    long = "select lo_from_bytea(60000, convert_to(repeat('0123456789abcdef', 200000), 'UTF8'))"
    left, right = make_database(postgres, many, long), make_database(postgres, many, long)
    assert compare_databases(left, right).compared["large objects"] == 651
    change(right, "select lo_put(60000, 3000000, 'x')", "select lo_unlink(70600)", "select lo_put(70640, 0, 'x')")
    assert sorted(map(str, compare_databases(left, right).found)) == [
        "large object 60000: contents differ",
        "large object 70600: only on the left",
        "large object 70640: contents differ",
    ]


def test_ignored_tables_are_left_out(copy_liferay: Callable[[], Server], source: Server):
    restored = copy_liferay()
    change(restored, "delete from lc2_demo_seed")
    assert not compare_databases(source, restored).equal
    assert compare_databases(source, restored, ignore=lambda table: table == "public.lc2_demo_seed").equal
