"""A site's data keys: made once, wrapped by the site's key-encryption key, kept in the repository.

A data key set holds two secrets: the Tink key set that seals objects, and the key that authenticates the commit log.
"""

import base64
import json
import secrets
from dataclasses import dataclass
from typing import Any

from lc2_backup_dagster.clouds.keys import KeyWrapper
from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.clock import Clock, to_text
from lc2_backup_dagster.model.errors import AlreadyExists, ConfigurationError, ManifestCorrupt, WrongKey
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository import canonical, layout
from lc2_backup_dagster.repository.sealing import Sealer, TinkSealer, ZstdSealer


@dataclass(frozen=True, slots=True)
class Keyring:
    """What a site needs to read and write its part of the repository.

    Attributes:
        sealer: seals and opens objects.
        log_keys: mapping of key id → HMAC key of the commit log; empty where encryption is off.
        signed_from: sequence from which on every record is signed, or None where encryption is off.
    """

    sealer: Sealer
    log_keys: dict[str, bytes]
    signed_from: int | None


def open_keyring(
    store: ObjectStore,
    site: SiteId,
    *,
    repository_id: str,
    wrapper: KeyWrapper | None,
    clock: Clock,
    create: bool,
    compression_level: int = 3,
) -> Keyring:
    """Unwrap the site's data keys; make the first one when there is none and ``create`` says so.

    The newest key (by creation time, then id) seals new objects; all others stay readable.

    Args:
        store: the repository's store.
        site: whose keys.
        repository_id: bound into every wrapped key.
        wrapper: the key-encryption key, or None where the site turned encryption off.
        clock: gives the creation time.
        create: whether a first key may be made (a reader must not).
        compression_level: level of zstd.

    Raises:
        WrongKey: the wrapper does not open a key of this site; nothing was written.
        ConfigurationError: the site has keys but none was configured, or the reverse.
    """
    stored = [item.key for item in store.list(layout.keys_prefix(site))]
    if wrapper is None:
        if stored:
            raise ConfigurationError(
                f"site {site} has encrypted backups, but its encryption is turned off",
                hint="turn encryption on again and name its key; backups already written stay encrypted",
            )
        return Keyring(ZstdSealer(compression_level), {}, None)
    if not stored:
        _refuse_lost_keys(store, site)
        if not create:
            raise ConfigurationError(f"site {site} has no data keys in {store.url}", hint="no backup was made yet")
        _create(store, site, repository_id=repository_id, wrapper=wrapper, clock=clock)
        stored = [item.key for item in store.list(layout.keys_prefix(site))]
    opened = [_unwrap(store, key, site=site, repository_id=repository_id, wrapper=wrapper) for key in stored]
    newest = max(opened, key=lambda each: (each["created"], each["key_id"]))
    sealer = TinkSealer(
        repository_id=repository_id,
        primitives={each["key_id"]: _primitive(each["secret"]["streaming_aead"]) for each in opened},
        key_id=newest["key_id"],
        level=compression_level,
    )
    return Keyring(
        sealer,
        log_keys={each["key_id"]: base64.b64decode(each["secret"]["log_hmac"]) for each in opened},
        signed_from=min(each["secret"]["signed_from"] for each in opened),
    )


def _refuse_lost_keys(store: ObjectStore, site: SiteId) -> None:
    """Refuse to make a first key where one existed: the new one would take the lost one's place.

    Raises:
        ManifestCorrupt: the site's log is signed, so its data keys are gone.
    """
    newest = max((item.key for item in store.list(layout.log_prefix(site)) if item.key.endswith(".json")), default=None)
    if newest is None:
        return
    try:
        key_id = canonical.decode_object(store.get(newest)).get("key_id")
    except ValueError:
        return  # the log's reader says better what is wrong with it
    if key_id is not None:
        raise ManifestCorrupt(
            f"the data keys of site {site} are gone from {layout.keys_prefix(site)} in {store.url}, its log is signed "
            f"with {key_id}",
            hint="restore them from the older versions of the bucket; nothing was written",
            site=str(site),
        )


def _create(store: ObjectStore, site: SiteId, *, repository_id: str, wrapper: KeyWrapper, clock: Clock) -> None:
    from tink import json_proto_keyset_format, new_keyset_handle, secret_key_access, streaming_aead

    streaming_aead.register()
    handle = new_keyset_handle(streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB)
    secret = {
        "streaming_aead": json.loads(json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN)),
        "log_hmac": base64.b64encode(secrets.token_bytes(32)).decode(),
        # Inside the wrapping: otherwise whoever can write the bucket could replace a signed log by an unsigned one.
        "signed_from": _next_sequence(store, site),
    }
    # The first key of a site has a fixed id: two first backups at once create one key, not two.
    key_id = "data-1"
    wrapped = wrapper.wrap(canonical.encode(secret), associated_data=_binding(repository_id, site, key_id))
    record = {
        "format": layout.FORMAT_VERSION,
        "repository_id": repository_id,
        "site": str(site),
        "key_id": key_id,
        "created": to_text(clock.now()),
        "wrapping": {
            "algorithm": wrapper.algorithm,
            "key_id": wrapper.key_id,
            "wrapped": base64.b64encode(wrapped).decode(),
        },
    }
    try:
        store.put(f"{layout.keys_prefix(site)}{key_id}.json", canonical.encode(record))
    except AlreadyExists:
        return  # the other first backup made it; it is read like any other


def _next_sequence(store: ObjectStore, site: SiteId) -> int:
    prefix = layout.log_prefix(site)
    names = (item.key[len(prefix) :].removesuffix(".json") for item in store.list(prefix))
    return max((int(name) for name in names if name.isdecimal()), default=0) + 1


def _unwrap(store: ObjectStore, key: str, *, site: SiteId, repository_id: str, wrapper: KeyWrapper) -> dict[str, Any]:
    try:
        record = canonical.decode_object(store.get(key))
        key_id, wrapping = record["key_id"], record["wrapping"]
        wrapped = base64.b64decode(wrapping["wrapped"], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestCorrupt(f"data key {key} in {store.url} is unreadable: {error}", key=key) from error
    try:
        plain = wrapper.unwrap(wrapped, associated_data=_binding(repository_id, site, key_id))
    except WrongKey as error:
        if wrapping.get("key_id") == wrapper.key_id:
            raise ManifestCorrupt(
                f"data key {key} in {store.url} was changed: its wrapping is broken", key=key
            ) from error
        raise WrongKey(
            f"wrong key for site {site}: {store.url} was encrypted under key {wrapping.get('key_id')}, "
            f"but the key of {wrapper.place} is {wrapper.key_id}",
            hint="name the key file the site was set up with; nothing was written",
            site=str(site),
        ) from error
    try:
        secret = canonical.decode_object(plain)
        base64.b64decode(secret["log_hmac"], validate=True)
        return {**record, "secret": {**secret, "signed_from": int(secret["signed_from"])}}
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestCorrupt(f"the secret inside data key {key} is not one of ours: {error!r}", key=key) from error


def _binding(repository_id: str, site: SiteId, key_id: str) -> bytes:
    return f"lc2-backup/1 data key\n{repository_id}\n{site}\n{key_id}".encode()


def _primitive(keyset: dict[str, Any]) -> Any:
    from tink import json_proto_keyset_format, secret_key_access, streaming_aead

    streaming_aead.register()
    handle = json_proto_keyset_format.parse(json.dumps(keyset), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)
