"""Listing and deleting many objects, page by page (L-7)."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from lc2_backup_dagster.clouds.aws.answers import checked, is_utf8
from lc2_backup_dagster.clouds.aws.bucket import S3Bucket
from lc2_backup_dagster.clouds.aws.errors import error_for
from lc2_backup_dagster.clouds.aws.pages import Page, page_of
from lc2_backup_dagster.clouds.aws.parallel import Bucket, Folder, list_pieces
from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.model.errors import (
    BackupError,
    ConfigurationError,
    ObjectNotFound,
    StoreUnavailable,
)

PAGE = 1000
"""Most objects of one answer and of one batch delete; S3's own limit."""

# What XML 1.0 cannot carry, and the carriage return, which parsers turn into a line feed: such keys go one by one.
_NOT_FOR_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DELETE_TRIES = 4
_PAUSE_SECONDS = 0.5


def list_objects(bucket: S3Bucket, *, prefix: str, start_after: str | None, ordered: bool) -> Iterator[ObjectInfo]:
    """Yield the objects with a prefix whose key is greater than ``start_after``.

    The store is asked to skip only where it is trusted to list in byte order: SeaweedFS lists folder by folder and
    leaves out ``a/b`` when told to start after ``a``. Elsewhere everything is listed and what is not wanted left out
    here. So is what does not begin with the prefix: SeaweedFS takes ``a//`` for ``a/``.

    Raises:
        ConfigurationError: the store is trusted to list in order and does not.
    """
    if not is_utf8(prefix):
        return  # no key of this store begins like that
    after = _order(start_after or "")
    wish: dict[str, Any] = {"Prefix": prefix, "MaxKeys": PAGE}
    if ordered and start_after and is_utf8(start_after):
        wish["StartAfter"] = start_after
    last = b""
    for page in pages(bucket, "list_objects_v2", wish):
        for found in page.objects:
            key = _order(found.key)
            if ordered and key < last:
                raise _out_of_order(bucket, found.key)
            last = key
            if key > after and found.key.startswith(prefix):
                yield found


def list_unordered(bucket: S3Bucket, *, prefix: str, ordered: bool, at_once: int) -> Iterator[ObjectInfo]:
    """Yield the objects with a prefix in any order, several pages being asked for at once.

    Raises:
        ConfigurationError: the store is trusted to list in order and does not.
    """
    if not is_utf8(prefix):
        return

    def ask(wish: Mapping[str, Any]) -> Page:
        page = one_page(bucket, "list_objects_v2", wish)
        _require_more(bucket, "list_objects_v2", wish, page)
        return page

    def out_of_order(key: str) -> ConfigurationError:
        return _out_of_order(bucket, key)

    whole = Folder(Bucket(ask, out_of_order if ordered else None), prefix)
    yield from list_pieces(whole, at_once=at_once)


def check_listing(bucket: S3Bucket) -> None:
    """Prove that the bucket can be listed."""
    one_page(bucket, "list_objects_v2", {"MaxKeys": 1})


def one_page(bucket: S3Bucket, operation: str, wish: Mapping[str, Any]) -> Page:
    """Return one page of a listing.

    Args:
        bucket: what is listed.
        operation: ``list_objects_v2`` or ``list_object_versions``.
        wish: parameters of the request.

    Raises:
        StoreUnavailable: the answer is no listing.
    """
    where = f"{operation} in {bucket.place}"
    page = page_of(bucket.call(operation, **wish), where=where)
    if page.truncated is None:
        # An empty or foreign body behind a 200 must not pass for an empty bucket (L-28).
        raise StoreUnavailable(f"{where}: the answer is no listing")
    return page


def pages(bucket: S3Bucket, operation: str, wish: Mapping[str, Any]) -> Iterator[Page]:
    """Yield the pages of a listing, one after the other.

    Raises:
        StoreUnavailable: the listing broke off, or an answer is none.
    """
    while True:
        page = one_page(bucket, operation, wish)
        yield page
        if not page.truncated:
            return
        _require_more(bucket, operation, wish, page)
        wish = {**wish, **page.following}


def _require_more(bucket: S3Bucket, operation: str, wish: Mapping[str, Any], page: Page) -> None:
    if page.truncated and (not page.following or page.following.items() <= wish.items()):
        # Going on would skip objects or never end; taking what came for everything would lose the rest.
        raise StoreUnavailable(f"{operation} in {bucket.place}: it says there is more and not where")


def _out_of_order(bucket: S3Bucket, key: str) -> ConfigurationError:
    return ConfigurationError(
        f"list in {bucket.place}: it does not list in byte order, '{key}' came too late",
        hint="set 'orderedListing: false'",
    )


def _order(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def delete_objects(bucket: S3Bucket, keys: Iterable[str]) -> None:
    """Delete objects in batches; absent ones are no error, any other failure of a single key is.

    Raises:
        BackupError: of the kind of the first failure, with how many keys failed, and which in ``refused``; all others
            of its batch are deleted.
    """
    remaining = iter(keys)
    while batch := list(islice(remaining, PAGE)):
        together = [checked(key) for key in batch if not _NOT_FOR_XML.search(key)]
        for key in batch:
            if _NOT_FOR_XML.search(key):
                _delete_one(bucket, checked(key))
        for attempt in range(_DELETE_TRIES):
            if not together:
                break
            time.sleep(_PAUSE_SECONDS * attempt)
            together = _delete_batch(bucket, together, last=attempt == _DELETE_TRIES - 1)


def _delete_batch(bucket: S3Bucket, keys: Sequence[str], *, last: bool) -> list[str]:
    """Delete a batch and return the keys that are worth another try."""
    wish = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
    answer = bucket.call("delete_objects", Delete=wish)
    failed: list[tuple[str, BackupError]] = []
    for entry in answer.get("Errors", ()):
        key, code = entry.get("Key", ""), entry.get("Code", "")
        where = f"delete_objects '{key}' in {bucket.place}"
        error = error_for(code, entry.get("Message", ""), status=0, where=where, key=key)
        if not isinstance(error, ObjectNotFound):
            failed.append((key, error))
    if not failed:
        return []
    final = [error for _, error in failed if last or not isinstance(error, StoreUnavailable)]
    if final:
        first = final[0]
        raise type(first)(
            f"{first.message} ({len(failed)} of {len(keys)} keys of this batch were not deleted)",
            hint=first.hint,
            **{**first.attributes, "refused": [key for key, _ in failed]},
        )
    return [key for key, _ in failed]


def _delete_one(bucket: S3Bucket, key: str) -> None:
    try:
        bucket.call("delete_object", key=key)
    except ObjectNotFound:
        return
