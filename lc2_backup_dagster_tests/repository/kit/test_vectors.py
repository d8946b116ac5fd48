"""The published test vectors are what FORMAT.md says, step by step, and our reader opens them."""

import base64
import hashlib
import hmac
import json

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository import canonical, layout
from lc2_backup_dagster.repository.kit import kit_files
from lc2_backup_dagster_tests.builders import a_repository
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock

VECTORS = json.loads(kit_files()["vectors.json"])
KEK = base64.b64decode(VECTORS["key_file"].strip())
SITE = SiteId("retail", "liferay")


def test_the_wrapped_key_opens_as_documented():
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    data_key = VECTORS["data_key"]
    wrapping = json.loads(data_key["object"])["wrapping"]
    assert wrapping["key_id"] == VECTORS["key_encryption_key_id"]
    assert hmac.new(KEK, b"lc2-backup key id", "sha256").hexdigest()[:16] == wrapping["key_id"]
    wrapped = base64.b64decode(wrapping["wrapped"])
    secret = AESGCM(KEK).decrypt(wrapped[:12], wrapped[12:], data_key["associated_data"].encode())
    assert secret.decode() == data_key["secret"]
    value = base64.b64decode(json.loads(secret)["streaming_aead"]["key"][0]["keyData"]["value"])
    assert value[:12].hex() == "120808808040102018031a20"
    assert len(value) == 44


def test_the_record_is_signed_as_documented():
    data = VECTORS["record"]["object"].encode()
    fields = json.loads(data)
    claimed = fields.pop("hmac")
    log_key = base64.b64decode(json.loads(VECTORS["data_key"]["secret"])["log_hmac"])
    assert hmac.new(log_key, canonical.encode(fields), hashlib.sha256).hexdigest() == claimed
    assert canonical.encode({**fields, "hmac": claimed}) == data


def test_our_reader_opens_the_vectors():
    clock = SetClock()
    store = MemoryStore(clock)
    store.put(layout.MARKER, VECTORS["marker"].encode())
    store.put("keys/retail/liferay/data-1.json", VECTORS["data_key"]["object"].encode())
    store.put(layout.log_key(SITE, 1), VECTORS["record"]["object"].encode())
    repository = a_repository(store, SITE, wrapper=KeyFile(KEK, place="vectors"), clock=clock, create=False)
    assert [record.sequence for record in repository.log.records()] == [1]
    for each in VECTORS["sealed"]:
        plain_bytes, stored_bytes, plain_sha256, stored_sha256 = each["part"]
        stored = base64.b64decode(each["stored"])
        assert (len(stored), canonical.sha256(stored)) == (stored_bytes, stored_sha256)
        plain = repository.sealer.unseal(stored, key=each["key"], key_id=each["key_id"])
        assert (len(plain), canonical.sha256(plain)) == (plain_bytes, plain_sha256)
        assert each["associated_data"] == f"lc2-backup/1\n{repository.repository_id}\n{each['key']}"
