"""The embedded S3 server: starts anywhere, keeps its data, dies with its parent."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from lc2_backup_dagster.clouds.aws.client import S3Access, S3Connection
from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.demo.servers.object_store import ObjectServer
from lc2_backup_dagster.demo.servers.ports import free_ports
from lc2_backup_dagster.model.errors import ConfigurationError, StoreUnavailable, ToolMissing


def a_server(directory, **options):
    return ObjectServer(directory, access_key="admin", secret_key="admin-secret", **options)


def a_store(server, bucket):
    return S3Store(
        S3Connection(S3Access(endpoint=server.endpoint, access_key="admin", secret_key="admin-secret")), bucket
    )


def test_it_keeps_its_data_and_ports_over_a_restart_and_a_kill(tmp_path):
    endpoints = []
    for turn in range(3):
        server = a_server(tmp_path)
        with server.start():
            endpoints.append(server.endpoint)
            server.create_bucket("bucket")
            store = a_store(server, "bucket")
            store.put(f"key/{turn}", b"content")
            assert [store.get(f"key/{number}") for number in range(turn + 1)] == [b"content"] * (turn + 1)
            store.close()
            if turn == 1:
                os.kill(server.pid, signal.SIGKILL)
    assert len(set(endpoints)) == 1
    assert server.pid is None


def test_it_moves_to_other_ports_when_the_preferred_ones_are_taken(tmp_path):
    (port,) = free_ports(1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with a_server(tmp_path, port=port) as server:
            assert not server.endpoint.endswith(f":{port}")
            server.create_bucket("bucket")
    with a_server(tmp_path, port=port) as server:
        assert server.endpoint.endswith(f":{port}")


def test_everything_listens_on_the_loopback_address_only(tmp_path):
    with a_server(tmp_path) as server:
        listening = [c.laddr for c in psutil.Process(server.pid).net_connections() if c.status == "LISTEN"]
        assert len(listening) >= 5
        assert {address.ip for address in listening} == {"127.0.0.1"}
        status = psutil.Process(server.pid).environ()
        assert status["GOMEMLIMIT"] == "300MiB"
        assert "admin-secret" not in " ".join(psutil.Process(server.pid).cmdline()) + str(status)
    assert oct((tmp_path / "identities.json").stat().st_mode)[-3:] == "600"


def test_a_second_server_over_the_same_directory_is_refused(tmp_path):
    with a_server(tmp_path) as server:
        with pytest.raises(ConfigurationError, match="running over"):
            a_server(tmp_path).start()
        assert server.pid is not None


def test_a_server_that_does_not_start_shows_its_last_words(tmp_path):
    (tmp_path / "data").write_bytes(b"a file where a folder should be")
    with pytest.raises((StoreUnavailable, FileExistsError)):
        a_server(tmp_path).start()
    (tmp_path / "data").unlink()
    (tmp_path / "data" / "filerldb2").mkdir(parents=True)
    (tmp_path / "data" / "filerldb2" / "00").write_bytes(b"not a database")

    server = a_server(tmp_path, start_seconds=20)
    with pytest.raises(StoreUnavailable, match=r"(?s)S3 server.*filer"):
        server.start()
    assert server.pid is None


def test_a_missing_wheel_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="demo"):
        a_server(tmp_path).start()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell a child that its parent died")
def test_it_dies_with_a_killed_parent_and_leaves_nothing_that_hinders_the_next(tmp_path):
    code = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from lc2_backup_dagster.demo.servers.object_store import ObjectServer
        server = ObjectServer(Path({str(tmp_path)!r}), access_key="admin", secret_key="admin-secret").start()
        print(server.pid, flush=True)
        time.sleep(600)
    """)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert psutil.Process(pid).name() == "weed"
        parent.kill()
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with a_server(tmp_path) as server:
        server.create_bucket("bucket")
