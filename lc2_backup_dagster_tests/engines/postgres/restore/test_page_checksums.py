"""Every page of a stopped directory is read and its checksum proven."""

import pytest

from lc2_backup_dagster.engines.postgres.restore.page_checksums import check_page_checksums
from lc2_backup_dagster.model.errors import RestoreMismatch
from lc2_backup_dagster_tests.fixtures_postgres import start_server


def test_a_damaged_page_is_named(tmp_path_factory):
    server = start_server(tmp_path_factory.mktemp("pages"))
    try:
        server.create_database("app")
        server.execute("CREATE TABLE t AS SELECT generate_series(1, 10000) i", database="app")
        with server.server("app").connect() as connection:
            [(path,)] = connection.execute("SELECT pg_relation_filepath('t')").fetchall()
        server.stop()
        assert check_page_checksums(server.data_directory, major=17).pages > 1000
        with (server.data_directory / path).open("r+b") as file:
            file.seek(2 * 8192 + 4000)
            file.write(b"\xff\x00flipped")
        with pytest.raises(RestoreMismatch, match=rf'{path}", block 2'):
            check_page_checksums(server.data_directory, major=17)
    finally:
        server.remove()
