"""Base backups of real servers, whole and broken in every way."""

import json
import tarfile
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lc2_backup_dagster.demo.servers.postgres import wheel_bin_directory
from lc2_backup_dagster.engines.postgres.base.capture import capture_base_backup
from lc2_backup_dagster.engines.postgres.base.stream_names import (
    INDEX_STREAM,
    MANIFEST_STREAM,
    TAR_STREAM,
    archive_stream,
    index_stream,
)
from lc2_backup_dagster.engines.postgres.servers.account import give_to, server_account
from lc2_backup_dagster.engines.postgres.servers.postmaster import Postmaster
from lc2_backup_dagster.model.errors import IntegrityError, MissingPrivilege, ServerUnavailable, ToolFailed
from lc2_backup_dagster_tests.engines.postgres.asking import emptied, nothing_left, until
from lc2_backup_dagster_tests.engines.postgres.collected import FileStreams
from lc2_backup_dagster_tests.engines.postgres.unpacked import own, running, unpacked, verify
from lc2_backup_dagster_tests.fixtures_postgres import backup_server, start_server

FILL = "CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 40000) i"
CONTENT = "SELECT count(*), sum(i), md5(string_agg(v, '' ORDER BY i)) FROM t"


@pytest.fixture
def scratch(tmp_path):
    directory = tmp_path / "scratch"
    directory.mkdir()
    yield directory
    assert emptied(directory), "scratch was not cleaned"


@pytest.fixture(scope="module")
def captured(postgres, tmp_path_factory):
    """One good base backup of the shared server, with its files."""
    streams = FileStreams(tmp_path_factory.mktemp("captured"))
    backup = capture_base_backup(backup_server(postgres), write=streams, scratch=tmp_path_factory.mktemp("scratch"))
    return backup, streams


@pytest.mark.parametrize("major", [17, 18])
def test_a_base_backup_restores_to_an_equal_server(major, request, make_database, tmp_path, scratch, place):
    server = request.getfixturevalue("postgres" if major == 17 else "postgres_18")
    database = make_database(server, FILL)
    streams = FileStreams(tmp_path)
    progress = []
    backup = capture_base_backup(
        backup_server(server),
        write=streams,
        scratch=scratch,
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert [stream.name for stream in backup.streams] == streams.completed
    assert streams.completed == [TAR_STREAM, MANIFEST_STREAM, INDEX_STREAM]
    assert (backup.incremental, backup.tablespaces, backup.major) == (False, (), major)
    assert backup.start_lsn < backup.stop_lsn
    assert backup.checksums_on
    assert progress[-1][0] == backup.tar_bytes == streams.path(TAR_STREAM).stat().st_size
    assert progress[-1][1] == pytest.approx(backup.tar_bytes, rel=0.9), "the size was not estimated"

    directory = unpacked(streams, place / "data")
    verify(directory, major=major)
    with running(directory) as restored, restored.connect(database.database) as connection:
        rows = connection.execute(CONTENT).fetchall()
    with database.connect() as connection:
        assert rows == connection.execute(CONTENT).fetchall()
    nothing_left(server)


def test_the_index_finds_any_file_in_the_stream(captured):
    _, streams = captured
    lines = streams.path(INDEX_STREAM).read_text().splitlines()
    members = {line["path"]: line for line in map(json.loads, lines)}
    with streams.open(TAR_STREAM) as tar:
        tar.seek(members["PG_VERSION"]["offset"])
        assert tar.read(members["PG_VERSION"]["size"]) == b"17\n"
    with tarfile.open(streams.path(TAR_STREAM)) as tar:
        assert [(m.name, m.offset_data) for m in tar] == [(p, m["offset"]) for p, m in members.items()]


def test_the_moment_holds_everything_committed_by_then(postgres, make_database, tmp_path, scratch, place):
    database = make_database(postgres, "CREATE TABLE log (i int)")
    acknowledged: list[tuple[int, object]] = []
    stop = threading.Event()

    def insert():
        with database.connect() as connection:
            for i in range(1_000_000):
                if stop.is_set():
                    return
                connection.execute("INSERT INTO log VALUES (%s)", [i])
                acknowledged.append((i, connection.execute("SELECT clock_timestamp()").fetchone()[0]))

    writer = threading.Thread(target=insert)
    writer.start()
    streams = FileStreams(tmp_path)
    try:
        backup = capture_base_backup(backup_server(postgres), write=streams, scratch=scratch)
    finally:
        stop.set()
        writer.join()
    with (
        running(unpacked(streams, place / "data")) as restored,
        restored.connect(database.database) as connection,
    ):
        found = {row[0] for row in connection.execute("TABLE log")}
    promised = {i for i, at in acknowledged if at <= backup.moment.restorable_until}
    assert promised <= found
    assert backup.moment.restorable_from == backup.moment.restorable_until
    assert backup.moment.lsn == str(backup.stop_lsn)


@pytest.mark.parametrize("end", ["pg_terminate_backend", "pg_cancel_backend"])
def test_a_backup_that_the_server_breaks_off_never_looks_like_a_clean_end(end, postgres, tmp_path, scratch):
    def break_off(name, size):
        if not size:
            with postgres.server().connect() as connection:
                connection.execute(f"SELECT {end}(pid) FROM pg_stat_progress_basebackup")

    streams = FileStreams(tmp_path, before_chunk=break_off)
    with pytest.raises(ServerUnavailable):
        capture_base_backup(backup_server(postgres), write=streams, scratch=scratch)
    assert streams.completed == []
    nothing_left(postgres)


def test_an_exception_of_the_writer_ends_backup_and_slot(postgres, tmp_path, scratch):
    def interrupt(name, size):
        if size:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        capture_base_backup(
            backup_server(postgres), write=FileStreams(tmp_path, before_chunk=interrupt), scratch=scratch
        )
    nothing_left(postgres)


def test_a_writer_that_stops_early_has_no_backup(postgres, tmp_path, scratch):
    def write(name, source):
        source.read(1000)

    with pytest.raises(ToolFailed, match="not read to its end"):
        capture_base_backup(backup_server(postgres), write=write, scratch=scratch)
    nothing_left(postgres)


def test_a_server_killed_in_mid_stream_is_unavailable_and_keeps_no_slot(tmp_path, scratch):
    server = start_server(tmp_path / "server")
    try:

        def kill(name, size):
            if size:
                server.kill()

        streams = FileStreams(tmp_path, before_chunk=kill)
        with pytest.raises(ServerUnavailable):
            capture_base_backup(backup_server(server), write=streams, scratch=scratch)
        assert streams.completed == []
        server.start()
        nothing_left(server)
    finally:
        server.remove()


def test_a_lost_slot_ends_the_backup(postgres, tmp_path, scratch):
    def terminate_slot(name, size):
        if size:
            with postgres.server().connect() as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE temporary"
                )
            time.sleep(0.2)  # the stream is longer than this many steps; the hold asks twice a second

    streams = FileStreams(tmp_path, before_chunk=terminate_slot)
    with pytest.raises(ServerUnavailable):
        capture_base_backup(backup_server(postgres), write=streams, scratch=scratch)
    assert streams.completed == []


def test_tablespaces_have_archives_and_indexes_of_their_own(tmp_path, scratch, place):
    server = start_server(tmp_path / "server")
    try:
        for name in ("first", "second"):
            directory = server.place / name
            directory.mkdir(mode=0o700)
            give_to(server_account(), directory)
            server.execute(f"CREATE TABLESPACE {name} LOCATION '{directory}'")
        with server.server().connect() as connection:
            connection.execute("SET allow_in_place_tablespaces = on")
            connection.execute("CREATE TABLESPACE inside LOCATION ''")
        server.execute(FILL + " WHERE false", "DROP TABLE t", FILL.replace("TABLE t", "TABLE t TABLESPACE second"))
        server.execute("CREATE TABLE u TABLESPACE inside AS SELECT 42 AS i")
        streams = FileStreams(tmp_path)
        backup = capture_base_backup(backup_server(server), write=streams, scratch=scratch)
        with server.server().connect() as connection:
            content = connection.execute(CONTENT).fetchall()
            known = {
                (oid, location or f"pg_tblspc/{oid}")
                for oid, location in connection.execute(
                    "SELECT oid, CASE WHEN spcname <> 'inside' THEN pg_tablespace_location(oid) END"
                    " FROM pg_tablespace WHERE oid > 16383"
                )
            }
        assert {(tablespace.oid, tablespace.location) for tablespace in backup.tablespaces} == known
    finally:
        server.remove()
    oids = [tablespace.oid for tablespace in backup.tablespaces]
    assert streams.completed == [
        *map(archive_stream, oids), TAR_STREAM, MANIFEST_STREAM, *map(index_stream, oids), INDEX_STREAM
    ]  # fmt: skip
    for oid in (None, *oids):
        with tarfile.open(streams.path(archive_stream(oid))) as tar:
            lines = streams.path(index_stream(oid)).read_text().splitlines()
            assert [(m.name, m.offset_data) for m in tar] == [(m["path"], m["offset"]) for m in map(json.loads, lines)]
    outside = {oid: place / f"data-{oid}" for oid, location in known if location.startswith("/")}
    inside = next(oid for oid in oids if oid not in outside)
    directory = unpacked(streams, place / "data", tablespaces=outside)
    with tarfile.open(streams.path(archive_stream(inside))) as tar:
        tar.extractall(directory / f"pg_tblspc/{inside}", filter="fully_trusted")
    verify(directory, major=17)
    with (directory / "postgresql.auto.conf").open("a") as settings:
        settings.write("allow_in_place_tablespaces = on\n")  # recovery refuses them otherwise
    with running(directory) as restored, restored.connect() as connection:
        assert connection.execute(CONTENT).fetchall() == content
        assert connection.execute("TABLE u").fetchall() == [(42,)]


def test_damaged_pages_are_named_and_never_backed_up_silently(postgres, make_database, tmp_path, scratch):
    database = make_database(postgres, FILL, "CHECKPOINT")
    with database.connect() as connection:
        path = connection.execute("SELECT pg_relation_filepath('t')").fetchone()[0]
    with (postgres.data_directory / path).open("r+b") as file:
        file.seek(8192 * 3 + 5000)
        file.write(b"damaged!")
    with pytest.raises(IntegrityError, match=f"damaged pages: .*{path}.*hint: the tables of these files"):
        capture_base_backup(backup_server(postgres), write=FileStreams(tmp_path), scratch=scratch)
    nothing_left(postgres)


def test_a_role_without_replication_is_told_the_statement(postgres, tmp_path, scratch):
    postgres.create_role("plain", password="plain", options="LOGIN NOREPLICATION")
    with pytest.raises(MissingPrivilege, match='hint: ALTER ROLE "plain" REPLICATION'):
        capture_base_backup(
            postgres.server(user="plain", password="plain"), write=FileStreams(tmp_path), scratch=scratch
        )


@pytest.mark.parametrize("size", [1, 511, 32769, 1 << 22])
def test_reads_of_any_size_give_the_same_bytes(size, postgres, tmp_path, scratch):
    """Also smaller than a message of the server, and larger than what is gathered at once."""

    def write(name, source):
        small = 100_000 if size < 512 else 1 << 30
        with (tmp_path / name).open("wb") as file:
            while file.tell() < small and (chunk := source.read(size)):
                assert len(chunk) <= size
                file.write(chunk)
            while chunk := source.read(1 << 20):
                file.write(chunk)

    capture_base_backup(backup_server(postgres), write=write, scratch=scratch)
    with tarfile.open(tmp_path / TAR_STREAM) as tar:
        lines = (tmp_path / INDEX_STREAM).read_text().splitlines()
        assert [(m.name, m.size) for m in tar] == [(m["path"], m["size"]) for m in map(json.loads, lines)]


def test_a_standby_can_be_the_source(postgres, make_database, tmp_path, scratch, place):
    """The moment comes from replayed commits, and nothing of the primary is asked."""
    database = make_database(postgres)
    first = FileStreams(tmp_path)
    capture_base_backup(backup_server(postgres), write=first, scratch=scratch)
    standby_directory = unpacked(first, place / "standby")
    (standby_directory / "standby.signal").touch()
    own(standby_directory)
    primary = postgres.server().conninfo() + f" password={postgres.password} dbname=replication"
    standby = Postmaster(
        bin_directory=wheel_bin_directory(17),
        data_directory=standby_directory,
        log_file=place / "log",
        settings={
            "port": str(postgres.port),
            "listen_addresses": "",
            "unix_socket_directories": str(place),
            "fsync": "off",
            "primary_conninfo": primary.replace("application_name=lc2-backup", "application_name=standby"),
        },
        account=server_account(),
    )
    standby.start()
    try:
        postgres.execute(FILL, database=database.database)
        address = backup_server(postgres)
        address = type(address)(
            host=str(place), port=postgres.port, user=address.user, password=address.password, database="postgres"
        )
        with postgres.server().connect() as connection:
            target = connection.execute("SELECT pg_current_wal_flush_lsn()").fetchone()[0]
        with address.connect() as connection:
            until(
                lambda: connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [target]).fetchone()[0],
                what="the standby has replayed",
            )
        second = FileStreams(tmp_path)
        backup = capture_base_backup(address, write=second, scratch=scratch)
    finally:
        standby.stop()
    directory = unpacked(second, place / "restored")
    verify(directory, major=17)
    (directory / "standby.signal").unlink()
    with running(directory) as server, server.connect(database.database) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (40000,)
    assert backup.moment.restorable_until is not None


def with_certificate(server) -> None:
    """Give a server a self-signed certificate and let it speak TLS."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for file, content in (("server.crt", certificate.public_bytes(pem)), ("server.key", private)):
        path = server.data_directory / file
        path.touch(mode=0o600)
        path.write_bytes(content)
        give_to(server_account(), path)
    server.execute("ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()")


def test_a_base_backup_over_tls_is_the_same(tmp_path, scratch, place):
    """Decrypted bytes may wait where poll does not see them; the stream comes to its end all the same."""
    server = start_server(tmp_path / "server")
    try:
        with_certificate(server)
        server.execute(FILL)
        address = replace(backup_server(server), sslmode="require")
        streams = FileStreams(tmp_path)
        capture_base_backup(address, write=streams, scratch=scratch)
    finally:
        server.remove()
    verify(unpacked(streams, place / "data"), major=17)
