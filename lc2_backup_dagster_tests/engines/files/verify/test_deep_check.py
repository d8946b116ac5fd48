"""The reading of one object: what proves a copy made by the store, and what does not."""

import base64
import hashlib
import zlib

import google_crc32c
import pytest

from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.engines.files.verify.deep_check import DeepCheck
from lc2_backup_dagster.engines.files.verify.needed import NeededObject, Use
from lc2_backup_dagster.model.errors import StoreUnavailable
from lc2_backup_dagster_tests.engines.files.faults import Outage, Troubled
from lc2_backup_dagster_tests.engines.files.library import AT_ONCE, SITE
from lc2_backup_dagster_tests.fakes import SetClock

BODY = b"the content of a picture" * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()
KEY = "files/retail/liferay/ab/" + "ab" * 32


class Repository:
    site = SITE

    def __init__(self) -> None:
        self.store = Troubled(SetClock())
        self.store.put(KEY, BODY)


@pytest.fixture
def repository() -> Repository:
    return Repository()


def checked(repository: Repository, *, known: str | None = None, sha256: str | None = None, **promised: str | None):
    etag = promised.get("etag", hashlib.md5(BODY).hexdigest())
    use = Use("photo.jpg", 0, len(BODY), sha256)
    needed = NeededObject(KEY, None, None, etag, promised.get("checksum"), (use,), pending=sha256 is None)
    return DeepCheck(repository, AT_ONCE)(needed, known)  # type: ignore[arg-type]


def rot(repository: Repository) -> None:
    _, info = repository.store.objects[KEY]
    repository.store.objects[KEY] = (b"T" + BODY[1:], info)


@pytest.mark.parametrize(
    "proof",
    [
        {"sha256": SHA256},
        {"known": SHA256},
        {"checksum": f"sha256:{SHA256}"},
        {"checksum": f"crc32:{zlib.crc32(BODY):08x}"},
        {"checksum": f"crc32c:{base64.b16encode(google_crc32c.Checksum(BODY).digest()).decode().lower()}"},
    ],
    ids=lambda proof: ":".join(proof) + str(*proof.values())[:7],
)
def test_what_proves_the_bytes_finds_rot_and_makes_the_etag_unimportant(repository: Repository, proof: dict) -> None:
    whole = checked(repository, etag="other", **proof)
    assert (whole.damage, whole.sha256) == (None, SHA256)
    assert whole.etag == repository.store.stat(KEY).etag

    rot(repository)
    damaged = checked(repository, **proof)
    assert damaged.damage is not None and "it holds other bytes than" in damaged.damage
    assert not damaged.missing and damaged.sha256 is None


def test_without_any_proof_the_etag_decides_and_the_bytes_are_believed_from_then_on(repository: Repository) -> None:
    for checksum in (None, "crc64nvme:0123456789abcdef"):
        assert checked(repository, checksum=checksum).sha256 == SHA256
        damaged = checked(repository, checksum=checksum, etag="other")
        assert damaged.damage is not None and "no SHA-256 proves its bytes" in damaged.damage


def test_another_length_and_absence_are_damage(repository: Repository) -> None:
    body, info = repository.store.objects[KEY]
    repository.store.objects[KEY] = (body[:-1], ObjectInfo(KEY, len(body), info.modified, info.etag))
    assert "holds 23999 bytes, promised 24000" in (checked(repository).damage or "")
    del repository.store.objects[KEY]
    assert checked(repository).missing


def test_a_short_outage_is_waited_for_and_a_long_one_is_raised(repository: Repository) -> None:
    repository.store.trouble = Outage(3)
    assert checked(repository).sha256 == SHA256
    repository.store.trouble = Outage(4)
    with pytest.raises(StoreUnavailable):
        checked(repository)
