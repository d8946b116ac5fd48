"""What boto3 and urllib3 raise, turned into the project's own errors.

Only a store that says so itself makes an object absent; refusals, time-outs and answers that nobody can read never
do (L-28). Messages hold the store's code and text, bucket, endpoint and operation, and no credentials.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from lc2_backup_dagster.model.errors import (
    AccessDenied,
    BackupError,
    BucketNotFound,
    ConfigurationError,
    KeyNotRepresentable,
    ObjectNotFound,
    PermanentError,
    SourceChanged,
    StorageFull,
    StoreUnavailable,
)

# Kind of error and hint by the store's code; what is not here is judged by the status.
_BY_CODE: Mapping[str, tuple[type[BackupError], str | None]] = {
    "NoSuchBucket": (BucketNotFound, "create the bucket, or correct its name or the endpoint"),
    "NoSuchKey": (ObjectNotFound, None),
    "NoSuchVersion": (ObjectNotFound, None),
    "NoSuchUpload": (StoreUnavailable, "the store gave up the upload; it is made again by the next try"),
    "PreconditionFailed": (SourceChanged, None),
    "KeyTooLongError": (KeyNotRepresentable, None),
    "InvalidAccessKeyId": (AccessDenied, "the access key is unknown there; check the variable that holds it"),
    "SignatureDoesNotMatch": (AccessDenied, "the secret key is wrong; check the variable that holds it"),
    "ExpiredToken": (AccessDenied, "the session token has expired"),
    "InvalidToken": (AccessDenied, "the session token is not valid"),
    "RequestTimeTooSkewed": (AccessDenied, "this machine's clock and the store's differ; set the clock"),
    "InvalidObjectState": (AccessDenied, "the object is archived; restore it from the archive tier first"),
    "QuotaExceeded": (StorageFull, "raise the quota or free space"),
    "InsufficientStorage": (StorageFull, "the store is full; free space"),
    "XMinioStorageFull": (StorageFull, "the store is full; free space"),
    "XMinioAdminBucketQuotaExceeded": (StorageFull, "raise the bucket's quota or free space"),
    "PermanentRedirect": (ConfigurationError, "the bucket is in another region; correct 'region'"),
    "AuthorizationHeaderMalformed": (ConfigurationError, "the bucket is in another region; correct 'region'"),
    "InvalidBucketName": (ConfigurationError, "correct 'bucket'"),
    "NotImplemented": (ConfigurationError, "this store lacks the operation; try 'requestChecksums: when_required'"),
    "RequestTimeout": (StoreUnavailable, None),
    "SlowDown": (StoreUnavailable, None),
    "Throttling": (StoreUnavailable, None),
    "ThrottlingException": (StoreUnavailable, None),
    "RequestLimitExceeded": (StoreUnavailable, None),
    "BandwidthLimitExceeded": (StoreUnavailable, None),
    "BadDigest": (StoreUnavailable, "bytes were damaged on the way"),
    "IncompleteBody": (StoreUnavailable, None),
    "ConditionalRequestConflict": (StoreUnavailable, "another writer of the same key is busy"),
    "OperationAborted": (StoreUnavailable, "another change of the same bucket is busy"),
}
_DENIED = (401, 403)
_ELSEWHERE = (301, 302, 307, 308)
_TEMPORARY = (408, 409, 425, 429)


def error_for(
    code: str,
    message: str,
    *,
    status: int,
    where: str,
    absent: type[BackupError] = StoreUnavailable,
    **attributes: object,
) -> BackupError:
    """Return the error that an answer of the store means.

    Args:
        code: the store's code, or the status as text where the answer had no body.
        message: the store's text.
        status: HTTP status, or 0 when unknown.
        where: operation, key, bucket and endpoint.
        absent: what a 404 without a code means here: only who asked knows, and by default it proves nothing.
        **attributes: kept on the error.
    """
    kind, hint = _BY_CODE.get(code, (None, None))
    if kind is None:
        if status == 400 and "content-md5" in message.lower():
            # On buckets with a default retention, uploads must prove themselves.
            kind, hint = ConfigurationError, "set 'requestChecksums: when_supported'"
        elif status in _DENIED or code in ("AccessDenied", "Forbidden"):
            kind, hint = AccessDenied, "check the credentials and that they may do this in that bucket"
        elif status == 404:
            kind = absent
        elif status == 412:
            kind = SourceChanged
        elif status in _ELSEWHERE:
            kind, hint = ConfigurationError, "the store answers somewhere else; correct 'endpoint' or 'region'"
        elif status == 507:
            kind = StorageFull
        elif status >= 500 or status in _TEMPORARY or status == 0:
            kind = StoreUnavailable
        else:
            kind = PermanentError
    said = ": ".join(part for part in (code or str(status), message) if part)
    return kind(f"{where}: {said[:300]}", hint=hint, code=code, status=status, **attributes)


@contextmanager
def translated(
    operation: str, place: str, key: str = "", *, absent: type[BackupError] = StoreUnavailable
) -> Generator[None, None, None]:
    """Raise what boto3 and urllib3 raise inside as an error of the project; attributes hold ``code`` and ``status``."""
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError
    from urllib3.exceptions import SSLError as TlsError

    where = f"{operation} '{key}' in {place}" if key else f"{operation} in {place}"
    try:
        yield
    except boto.ClientError as error:
        said: dict[str, Any] = dict(error.response.get("Error", {}))
        answer: dict[str, Any] = dict(error.response.get("ResponseMetadata", {}))
        raise error_for(
            str(said.get("Code", "")),
            str(said.get("Message", "")),
            status=int(answer.get("HTTPStatusCode", 0)),
            where=where,
            absent=absent,
            retry_after=answer.get("HTTPHeaders", {}).get("retry-after"),
            key=key,
        ) from error
    except (boto.SSLError, TlsError) as error:
        raise ConfigurationError(
            f"{where}: the secure connection failed: {error}",
            hint="name the file with the authority's certificate as 'caFile', or correct the endpoint",
        ) from error
    except (boto.NoCredentialsError, boto.PartialCredentialsError) as error:
        raise AccessDenied(
            f"{where}: {error}",
            hint="name the variables with 'accessKeyIdEnv' and 'secretAccessKeyEnv', or give the service an identity",
        ) from error
    except (boto.ParamValidationError, boto.InvalidRegionError, boto.ProfileNotFound) as error:
        raise ConfigurationError(f"{where}: {error}") from error
    except (boto.BotoCoreError, ResponseParserError, HTTPError) as error:
        raise StoreUnavailable(f"{where}: {error}", key=key) from error
