"""Configurations of stores: what is refused, and what is opened."""

import pytest
from pydantic import BaseModel, ValidationError

from lc2_backup_dagster.clouds.aws.config import S3Config
from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.clouds.local.config import DirectoryConfig
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.clouds.registry import StoreConfig, open_store
from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.errors import BucketNotFound, ConfigurationError
from lc2_backup_dagster_tests.contracts.object_store import keys_of


class Holder(BaseModel):
    store: StoreConfig


def read(**fields) -> S3Config | DirectoryConfig:
    return Holder.model_validate({"store": fields}).store


def test_a_directory_is_opened_and_only_made_when_told_so(tmp_path):
    store = open_store(read(kind="directory", path=str(tmp_path / "new")), environment={})
    with pytest.raises(BucketNotFound):
        store.check(write=False)

    store = open_store(read(kind="directory", path=str(tmp_path / "new"), create=True), environment={})
    store.check(write=True)
    assert isinstance(store, DirectoryStore)
    assert isinstance(store, ObjectStore)


def test_a_bucket_is_opened_with_the_credentials_that_the_variables_hold(object_server, make_bucket):
    config = read(
        kind="s3",
        endpoint=object_server.endpoint + "/",
        bucket=make_bucket(),
        accessKeyIdEnv="KEY",
        secretAccessKeyEnv="SECRET",
    )
    store = open_store(config, environment={"KEY": object_server.access_key, "SECRET": object_server.secret_key})
    try:
        store.check(write=True)
        assert isinstance(store, S3Store)
        assert isinstance(store, ObjectStore)
        assert keys_of(store) == []
        assert not store.capabilities.ordered_listing
    finally:
        store.close()


def test_defaults_follow_the_endpoint():
    own = read(kind="s3", endpoint="https://MinIO.example:9000", bucket="backups")
    amazon = read(kind="s3", bucket="backups", region="eu-central-1")

    access = open_store(own, environment={})._connection.access
    assert (access.endpoint, access.path_style, access.checksums) == (
        "https://minio.example:9000", True, "when_required",
    )  # fmt: skip
    access = open_store(amazon, environment={})._connection.access
    assert (access.endpoint, access.path_style, access.checksums) == (None, False, "when_supported")
    assert open_store(amazon, environment={}).capabilities.ordered_listing
    trusted = read(kind="s3", endpoint="https://minio.example", bucket="backups", orderedListing=True)
    assert open_store(trusted, environment={}).capabilities.ordered_listing
    express = read(kind="s3", bucket="backups--use1-az4--x-s3")
    assert not open_store(express, environment={}).capabilities.ordered_listing


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "ftp", "path": "/x"}, "'s3', 'directory'"),
        ({"kind": "directory", "path": "relative"}, "absolute"),
        ({"kind": "directory", "path": "/x", "prefix": "y"}, "Extra inputs"),
        ({"kind": "directory", "path": "/x", "create": "yes"}, "valid boolean"),
        ({"kind": "s3"}, "bucket"),
        ({"kind": "s3", "bucket": "Backups"}, "lower-case"),
        ({"kind": "s3", "bucket": "backups/prefix"}, "no path"),
        ({"kind": "s3", "bucket": "backups", "endpoint": "minio.example:9000"}, "write it like"),
        ({"kind": "s3", "bucket": "backups", "endpoint": "https://me:secret@minio.example"}, "credentials do not"),
        ({"kind": "s3", "bucket": "backups", "endpoint": "https://minio.example/backups"}, "no path"),
        ({"kind": "s3", "bucket": "backups", "accessKeyIdEnv": "KEY"}, "give both or none"),
        ({"kind": "s3", "bucket": "backups", "secretAccessKeyEnv": "KEY"}, "give both or none"),
        ({"kind": "s3", "bucket": "backups", "sessionTokenEnv": "KEY"}, "needs accessKeyIdEnv"),
        ({"kind": "s3", "bucket": "backups", "requestChecksums": "never"}, "when_required"),
        ({"kind": "s3", "bucket": "backups", "secretKey": "x"}, "Extra inputs"),
    ],
)
def test_a_wrong_configuration_is_refused(fields, words):
    with pytest.raises(ValidationError, match=words):
        read(**fields)


@pytest.mark.parametrize("environment", [{}, {"KEY": "a"}, {"KEY": "a", "SECRET": ""}])
def test_a_missing_variable_is_named(environment):
    config = read(kind="s3", bucket="backups", accessKeyIdEnv="KEY", secretAccessKeyEnv="SECRET")
    missing = "SECRET" if "KEY" in environment else "KEY"

    with pytest.raises(ConfigurationError, match=f"'{missing}'.*is not set"):
        open_store(config, environment=environment)


def test_a_missing_certificate_file_is_named(tmp_path):
    config = read(kind="s3", bucket="backups", endpoint="https://minio.example", caFile=str(tmp_path / "ca.pem"))

    with pytest.raises(ConfigurationError, match=r"ca\.pem.*caFile"):
        open_store(config, environment={})


def test_importing_the_registry_does_not_import_any_sdk():
    import subprocess
    import sys

    code = (
        "import sys, lc2_backup_dagster.clouds.registry; print([n for n in ('boto3', 'botocore') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
