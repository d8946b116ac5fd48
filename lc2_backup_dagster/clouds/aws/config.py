"""Configuration of an S3 store."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from lc2_backup_dagster.clouds.aws.client import S3Access, S3Connection
from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.clouds.config import StoreSettings, from_environment
from lc2_backup_dagster.model.errors import ConfigurationError

_BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")


class S3Config(StoreSettings):
    """A bucket of Amazon S3, or of a store that speaks its language.

    Without ``accessKeyIdEnv`` and ``secretAccessKeyEnv`` the credentials come from boto3's default chain: the usual
    environment variables, a profile, or the identity of the pod or machine.
    """

    kind: Literal["s3"]
    bucket: str = Field(description="Name of the bucket.")
    endpoint: str | None = Field(
        default=None, description="Address of the service, like https://minio.example:9000; none for Amazon's own."
    )
    region: str = Field(default="us-east-1", min_length=1)
    path_style: bool | None = Field(
        default=None, description="Put the bucket into the path; by default where an endpoint is given."
    )
    ca_file: str | None = Field(default=None, description="File with the certificate of the server's authority.")
    access_key_id_env: str | None = Field(default=None, description="Variable that holds the access key.")
    secret_access_key_env: str | None = Field(default=None, description="Variable that holds the secret key.")
    session_token_env: str | None = Field(default=None, description="Variable that holds a session token.")
    request_checksums: Literal["when_required", "when_supported"] | None = Field(
        default=None,
        description="When boto3 adds checksums to requests; by default where supported on Amazon's own service only.",
    )
    ordered_listing: bool | None = Field(
        default=None, description="The store lists in byte order (MinIO does); by default only Amazon's own is trusted."
    )

    @field_validator("bucket")
    @classmethod
    def _bucket_name(cls, value: str) -> str:
        if not _BUCKET.match(value):
            raise ValueError("a bucket has 3 to 63 lower-case letters, digits, dots and hyphens, and no path")
        return value

    @field_validator("endpoint")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write it like https://minio.example:9000")
        if parts.username or parts.password:
            raise ValueError("credentials do not belong into the address; name variables that hold them")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("an endpoint has no path; the bucket has its own field")
        return f"{parts.scheme}://{parts.netloc.lower()}"

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.access_key_id_env is None) != (self.secret_access_key_env is None):
            raise ValueError("accessKeyIdEnv and secretAccessKeyEnv belong together: give both or none")
        if self.session_token_env is not None and self.access_key_id_env is None:
            raise ValueError("sessionTokenEnv needs accessKeyIdEnv and secretAccessKeyEnv")
        return self


def open_s3(config: S3Config, environment: Mapping[str, str]) -> S3Store:
    """Return the store; nothing is sent yet.

    Raises:
        ConfigurationError: a named variable is not set, or the certificate file is missing.
    """

    def secret(name: str | None, field: str) -> str | None:
        return None if name is None else from_environment(environment, name, field=field)

    if config.ca_file is not None and not Path(config.ca_file).is_file():
        raise ConfigurationError(f"'{config.ca_file}', named by 'caFile', is not a file")
    own_endpoint = config.endpoint is not None
    access = S3Access(
        endpoint=config.endpoint,
        region=config.region,
        path_style=own_endpoint if config.path_style is None else config.path_style,
        ca_file=config.ca_file,
        access_key=secret(config.access_key_id_env, "accessKeyIdEnv"),
        secret_key=secret(config.secret_access_key_env, "secretAccessKeyEnv"),
        session_token=secret(config.session_token_env, "sessionTokenEnv"),
        checksums=config.request_checksums or ("when_required" if own_endpoint else "when_supported"),
    )
    return S3Store(S3Connection(access), config.bucket, ordered_listing=config.ordered_listing)
