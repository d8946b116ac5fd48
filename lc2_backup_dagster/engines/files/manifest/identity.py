"""What a stored version of a file is called. Pure.

An identity is made from what the source says of the version and from the generation: the attempt that copies it.
So no attempt ever writes where another one wrote: nothing is overwritten, a zombie and its successor cannot meet, and
an identity that a purge declared dead is never used again, because a later copy belongs to a later attempt.
Whether a file is unchanged is decided by comparing facts (``changes.same_version``), never by identities.
"""

import hashlib
import json
from collections.abc import Sequence

from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository.layout import PART_DIGITS


def file_identity(info: ObjectInfo, *, source_id: str, protection: str, generation: str) -> str:
    """Return the identity of one version of one file: 64 hex digits.

    Args:
        info: what the source says; the time counts only where there is neither etag nor version.
        source_id: name of the source, stable over the life of the site.
        protection: ``client`` or ``store``.
        generation: the attempt's id, with a suffix where one attempt copies a version once more.
    """
    version = info.version
    if info.etag is None and version is None:
        version = to_text(info.modified)
    return _digest([source_id, info.key, info.size_bytes, info.etag, version, protection, generation])


def bundle_identity(members: Sequence[str]) -> str:
    """Return the identity of a bundle from those of the files in it, in order."""
    return _digest(["bundle", *members])


def files_prefix(site: SiteId) -> str:
    """Return the folder of all stored file contents of a site."""
    return f"files/{site}/"


def object_key(site: SiteId, identity: str, *, part: int | None = None) -> str:
    """Return where an identity, or one part of a file in several parts, is stored."""
    key = f"{files_prefix(site)}{identity[:2]}/{identity}"
    return key if part is None else f"{key}/{part:0{PART_DIGITS}d}"


def name_of(site: SiteId, key: str) -> str:
    """Return what an object is called below its two-digit folder: names have the order of the keys."""
    return key[len(files_prefix(site)) + 3 :]


def _digest(value: list[str | int | None]) -> str:
    # ASCII: names of files need not be valid UTF-8, and lone surrogates have no other form.
    return hashlib.sha256(json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode()).hexdigest()
