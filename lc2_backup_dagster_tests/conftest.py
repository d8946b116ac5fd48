"""Fixtures that several folders of tests share: the embedded S3 server and stores on it."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from lc2_backup_dagster.clouds.aws.client import S3Access, S3Connection
from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.demo.servers.object_store import ObjectServer, ServerIdentity

# Before anybody imports them: failed assertions in contract suites then show their values.
pytest.register_assert_rewrite("lc2_backup_dagster_tests.contracts.object_store")

if (Path(__file__).parent / "fixtures_postgres.py").exists():
    pytest_plugins = ["lc2_backup_dagster_tests.fixtures_postgres"]

# Started in the background of a script, SIGINT is ignored here. Dagster copies its handling to SIGTERM when a test runs
# it in this process, and then no child that a later test starts could be ended by TERM.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

READER = ServerIdentity("reader", "test-reader", "test-reader-secret", ("Read", "List"))
"""A user of the test server who may read everything and write nothing."""


@pytest.fixture(scope="session")
def object_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """A running SeaweedFS with authentication, one for each worker of the tests."""
    server = ObjectServer(
        tmp_path_factory.mktemp("object-server"),
        access_key="test-admin",
        secret_key="test-admin-secret",
        identities=[READER],
    )
    with server.start():
        yield server
        # Its data is thrown away: no need to wait until it has put everything in order.
        server.stop(grace_seconds=0)


@pytest.fixture(scope="session")
def make_bucket(object_server: ObjectServer) -> Callable[..., str]:
    """Make a new bucket with a unique name; ``make_bucket(versioning=True)``."""

    def make(*, versioning: bool = False) -> str:
        name = f"bucket-{uuid4().hex[:20]}"
        object_server.create_bucket(name, versioning=versioning)
        return name

    return make


@pytest.fixture(scope="session")
def s3_access(object_server: ObjectServer) -> S3Access:
    """How the administrator of the test server reaches it; change it with ``dataclasses.replace``."""
    return S3Access(
        endpoint=object_server.endpoint,
        access_key=object_server.access_key,
        secret_key=object_server.secret_key,
        attempts=3,
        connect_seconds=5,
        read_seconds=30,
    )


@pytest.fixture(scope="session")
def s3_connection(s3_access: S3Access) -> Iterator[S3Connection]:
    """One connection for the whole session: making a boto3 client takes longer than most tests."""
    with ExitStack() as stack:
        connection = S3Connection(s3_access)
        stack.callback(connection.close)
        yield connection


@pytest.fixture
def s3_store(s3_connection: S3Connection, make_bucket: Callable[..., str]) -> S3Store:
    """A store on a new, empty bucket. Do not close it: its connection is shared."""
    return S3Store(s3_connection, make_bucket())
