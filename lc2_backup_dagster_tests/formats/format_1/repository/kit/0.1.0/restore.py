"""Restore kit of LC2 backup repositories, format 1: reads a repository without the service that wrote it.

Needs Python 3.9 and `pip install cryptography zstandard`, `boto3` for S3. README.txt has the commands, FORMAT.md the
format. What is given out was proven: record chain (and HMAC, with the key) -> manifest -> parts -> files.

Exit codes: 0 done, 2 wrong arguments or a missing library, 3 not found, wrong key or target not empty, 4 stored data
is damaged or cannot be proven, 5 the storage or the target cannot be read or written, 6 done but for the files named.
"""
# ruff: noqa: D102, D103 - short enough to be read whole by someone in a hurry; FORMAT.md explains each step

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import hmac
import json
import runpy
import sys
from collections import OrderedDict, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

NOT_FOUND, DAMAGED, STORAGE, INCOMPLETE = 3, 4, 5, 6
CHUNK = SEGMENT = 1 << 20
# What stands before the 32 bytes of a key in Tink's AesGcmHkdfStreamingKey of the template AES256_GCM_HKDF_1MB.
TINK_HEAD = bytes.fromhex("120808808040102018031a20")
STATES = {"expire": "expired", "undelete": "committed", "purge": "purged"}
QUIET = ("hold", "release", "reencrypt", "restore", "refuse")  # records that say nothing of what can be restored
Json = dict[str, Any]


class Problem(Exception):
    """Ends the program; its arguments are the exit code and the message."""


def require(holds: bool, code: int, message: str) -> None:
    if not holds:
        raise Problem(code, message)


class Directory:
    """A repository in a local directory, for example a copy made with `aws s3 sync` or `rclone copy`."""

    def __init__(self, root: str) -> None:
        self.root = Path(root)
        require(self.root.is_dir(), NOT_FOUND, f"{root} is not a directory")

    def chunks(self, key: str) -> Iterator[bytes]:
        with (self.root / key).open("rb") as file:
            while piece := file.read(CHUNK):
                yield piece

    def names(self, folder: str) -> list[str]:
        path = self.root / folder
        return sorted(each.name for each in path.iterdir()) if path.is_dir() else []


class S3:
    """A repository in a bucket; credentials come from boto3's usual places (environment, profile, role)."""

    def __init__(self, url: str, endpoint: str | None) -> None:
        import boto3

        self.bucket, _, prefix = url[len("s3://") :].partition("/")
        self.prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self.client: Any = boto3.client("s3", endpoint_url=endpoint)  # pyright: ignore[reportUnknownMemberType]

    def chunks(self, key: str) -> Iterator[bytes]:
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)
        except self.client.exceptions.NoSuchKey as error:
            raise FileNotFoundError(key) from error
        yield from answer["Body"].iter_chunks(CHUNK)

    def names(self, folder: str) -> list[str]:
        found: list[str] = []
        prefix = f"{self.prefix}{folder}/"
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/")
        for page in pages:
            found += [each["Key"][len(prefix) :] for each in page.get("Contents", [])]
            found += [each["Prefix"][len(prefix) : -1] for each in page.get("CommonPrefixes", [])]
        return sorted(found)


def canonical(value: Json) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def note(text: str) -> None:
    sys.stderr.write(text + "\n")


def gcm(key: bytes, nonce: bytes, sealed: bytes, associated: bytes | None = None) -> bytes | None:
    """Open with AES-256-GCM; None when the key, the bytes or the associated data are wrong."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    with contextlib.suppress(InvalidTag, ValueError):
        return AESGCM(key).decrypt(nonce, sealed, associated)
    return None


def tink_key(keyset: Json) -> bytes:
    """Return the key of a data key set: 32 bytes behind the fixed head."""
    primary = next(each for each in keyset["key"] if each["keyId"] == keyset["primaryKeyId"])
    value = base64.b64decode(primary["keyData"]["value"])
    good = value.startswith(TINK_HEAD) and len(value) == len(TINK_HEAD) + 32
    require(good, DAMAGED, "a data key is not of the kind AES256_GCM_HKDF_1MB")
    return value[-32:]


def decrypt(stored: bytes, key: bytes, associated: bytes) -> bytes | None:
    """Open one object sealed with Tink's AES256_GCM_HKDF_1MB; None when it does not open."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = HKDF(algorithm=SHA256(), length=32, salt=stored[1:33], info=associated).derive(key)
    plain = bytearray()
    for number, start in enumerate(range(0, len(stored), SEGMENT)):
        end, header = start + SEGMENT, 0 if start else 40  # the header counts as part of the first segment
        nonce = stored[33:40] + number.to_bytes(4, "big") + bytes([end >= len(stored)])
        piece = gcm(derived, nonce, stored[start + header : end])
        if piece is None:
            return None
        plain += piece
    return bytes(plain)


class Repository:
    """One site's part of a repository, its log read and proven."""

    def __init__(self, store: Any, site: str | None, key_file: str | None, log: bool = True) -> None:
        self.store = store
        marker = json.loads(self._fetch("lc2-repository.json"))
        good = (marker["what"], marker["format"]) == ("LC2 backup repository", 1)
        require(good, DAMAGED, f"this kit reads format 1, the marker says {marker}")
        self.id = marker["repository_id"]
        sites = [site] if site else [f"{p}/{a}" for p in store.names("log") for a in store.names(f"log/{p}")]
        require(len(sites) == 1, NOT_FOUND, f"name one site with --site; here are: {', '.join(sites) or 'none'}")
        self.site = sites[0]
        keys = [f"keys/{self.site}/{name}" for name in store.names(f"keys/{self.site}")]
        secrets = dict(self._unwrap(key, Path(key_file)) for key in keys) if key_file else {}
        if keys and not secrets:
            note("note: without --key-file nothing can be opened; the log's hashes are checked, its signatures are not")
        self.data_keys = {name: tink_key(secret["streaming_aead"]) for name, secret in secrets.items()}
        self.log_keys = {name: base64.b64decode(secret["log_hmac"]) for name, secret in secrets.items()}
        self.signed_from = min([secret["signed_from"] for secret in secrets.values()], default=0)
        self.backups = self._replay() if log else {}

    def _fetch(self, key: str) -> bytes:
        try:
            return b"".join(self.store.chunks(key))
        except FileNotFoundError:
            raise Problem(DAMAGED if hasattr(self, "id") else NOT_FOUND, f"{key} is missing") from None

    def _unwrap(self, key: str, key_file: Path) -> tuple[str, Json]:
        kek = base64.b64decode(key_file.read_bytes().strip(), validate=True) if key_file.is_file() else b""
        require(len(kek) == 32, NOT_FOUND, f"{key_file} is absent or does not hold the base64 text of 32 bytes")
        record = json.loads(self._fetch(key))
        name, wrapping = record["key_id"], record["wrapping"]
        require(wrapping["algorithm"] == "AES-256-GCM", NOT_FOUND, f"{key} is wrapped with {wrapping['algorithm']}")
        wrapped = base64.b64decode(wrapping["wrapped"])
        associated = f"lc2-backup/1 data key\n{self.id}\n{self.site}\n{name}".encode()
        secret = gcm(kek, wrapped[:12], wrapped[12:], associated)
        if secret is None:
            ours = hmac.new(kek, b"lc2-backup key id", "sha256").hexdigest()[:16]
            require(ours != wrapping["key_id"], DAMAGED, f"{key} was changed: its own key does not open it")
            raise Problem(NOT_FOUND, f"wrong key: {key} needs key {wrapping['key_id']}, {key_file} holds {ours}")
        return name, json.loads(secret)

    def _records(self) -> Iterator[Json]:
        folder, previous = f"log/{self.site}", "0" * 64
        names = [name for name in self.store.names(folder) if name.endswith(".json")]
        with ThreadPoolExecutor(8) as pool:
            contents = pool.map(self._fetch, [f"{folder}/{name}" for name in names])
            for sequence, content in enumerate(contents, start=1):
                where = f"record {folder}/{sequence:020d}.json"
                require(names[sequence - 1] == f"{sequence:020d}.json", DAMAGED, f"{where} is missing")
                fields = json.loads(content)
                place = (fields["format"], fields["repository_id"], fields["site"], fields["sequence"])
                good = place == (1, self.id, self.site, sequence) and canonical(fields) == content
                require(good, DAMAGED, f"{where} is of another format or place, or not canonical: {place}")
                require(fields["previous_sha256"] == previous, DAMAGED, f"{where} does not follow the one before it")
                require(fields["key_id"] or not 0 < self.signed_from <= sequence, DAMAGED, f"{where} is not signed")
                previous = sha256(content)
                if self.log_keys and fields["key_id"]:
                    require(fields["key_id"] in self.log_keys, DAMAGED, f"{where} is signed with an unknown key")
                    claimed, key = fields.pop("hmac"), self.log_keys[fields["key_id"]]
                    good = hmac.compare_digest(claimed, hmac.new(key, canonical(fields), "sha256").hexdigest())
                    require(good, DAMAGED, f"{where} was not written with the site's key")
                yield fields

    def _replay(self) -> dict[str, Json]:
        running: dict[str, str] = {}
        backups: dict[str, Json] = {}
        for record in self._records():
            kind, body = record["type"], record["body"]
            try:
                if kind == "begin":
                    for superseded in body["supersedes"]:
                        del running[superseded]
                    running[body["attempt"]] = body["component"]
                elif kind == "abort":
                    del running[body["attempt"]]
                elif kind == "commit":
                    backups[body["attempt"]] = {**body, "component": running.pop(body["attempt"]), "state": "committed"}
                elif kind in STATES:
                    for backup_id in body["backup_ids"]:
                        backups[backup_id]["state"] = STATES[kind]
                else:
                    require(kind in QUIET, DAMAGED, f"record {record['sequence']} has the unknown type {kind!r}")
            except KeyError as error:
                raise Problem(DAMAGED, f"record {record['sequence']} contradicts those before it: {error}") from None
        return {backup_id: each for backup_id, each in backups.items() if each["state"] != "purged"}

    def manifest(self, backup_id: str) -> Json:
        require(backup_id in self.backups, NOT_FOUND, f"the log names no backup {backup_id}")
        key = f"backups/{self.site}/{self.backups[backup_id]['component']}/{backup_id}/manifest.json"
        content = self._fetch(key)
        good = sha256(content) == self.backups[backup_id]["manifest_sha256"]
        require(good, DAMAGED, f"{key} is not the manifest that the log names")
        return json.loads(content)

    def sealed(self, key: str, part: list[Any], key_id: str | None) -> bytes:
        """Fetch, prove and open one sealed object."""
        return self.opened(key, self._fetch(key), part, key_id)

    def opened(self, key: str, stored: bytes, part: list[Any], key_id: str | None) -> bytes:
        import zstandard

        plain_bytes, stored_bytes, plain_sha256, stored_sha256 = part
        good = len(stored) == stored_bytes and sha256(stored) == stored_sha256
        require(good, DAMAGED, f"{key} has other bytes than were promised")
        require(key_id is None or key_id in self.data_keys, NOT_FOUND, f"{key} needs data key {key_id}: --key-file")
        associated = f"lc2-backup/1\n{self.id}\n{key}".encode()
        frame = stored if key_id is None else decrypt(stored, self.data_keys[key_id], associated)
        with contextlib.suppress(zstandard.ZstdError):  # the length is asked for before memory is taken for it
            if frame is not None and zstandard.frame_content_size(frame) == plain_bytes:
                plain = zstandard.ZstdDecompressor().decompress(frame)
                if sha256(plain) == plain_sha256:
                    return plain
        raise Problem(DAMAGED, f"{key} does not decrypt and decompress to what was promised")

    def stream(self, manifest: Json, name: str) -> Iterator[bytes]:
        """Yield the plain parts of a stream, a few fetched ahead."""
        require(name in manifest["streams"], NOT_FOUND, f"no stream {name!r}, but: {', '.join(manifest['streams'])}")
        folder = f"backups/{self.site}/{manifest['component']}/{manifest['backup_id']}/{name}"
        key_id = manifest["encryption"]["key_id"] if manifest["encryption"] else None
        parts = manifest["streams"][name]
        with ThreadPoolExecutor(4) as pool:
            for start in range(0, len(parts), 4):  # four at once and no more, so that memory stays small
                keys = [f"{folder}/{number:06d}" for number in range(start, start + 4)]
                yield from pool.map(self.sealed, keys, parts[start : start + 4], [key_id] * 4)

    def entries(self, manifest: Json, stream: str = "files") -> Iterator[Json]:
        rest, last = b"", ""
        for plain in self.stream(manifest, stream):
            *lines, rest = (rest + plain).split(b"\n")
            for entry in map(json.loads, lines):
                require(entry["k"] > last, DAMAGED, f"the files manifest is out of order at {entry['k']!r}")
                last = entry["k"]
                yield entry
        require(not rest, DAMAGED, f"the files manifest of {manifest['backup_id']} ends in the middle of a line")

    def content(self, entry: Json, bundles: OrderedDict[str, bytes]) -> Iterator[bytes]:
        """Yield the content of one file; what is wrong with the whole of it shows at the end."""
        digest, size = hashlib.sha256(), 0
        for piece in self._pieces(entry, bundles):
            digest.update(piece)
            size += len(piece)
            yield piece
        good = size == entry["s"] and entry.get("h") in (None, digest.hexdigest())
        require(good, DAMAGED, "its content is not what the manifest promises")

    def _pieces(self, entry: Json, bundles: OrderedDict[str, bytes]) -> Iterator[bytes]:
        if entry["l"] == ["n"]:  # a link or a folder
            return
        kind, identity, *rest = entry["l"]
        key = f"files/{self.site}/{identity[:2]}/{identity}"
        if kind == "o":  # copied by the store, neither compressed nor encrypted by us
            yield from self.store.chunks(key)
        elif kind == "p":  # sealed alone, in one object or several
            key_id, parts = rest
            for number, part in enumerate(parts):
                yield self.sealed(f"{key}/{number:06d}" if len(parts) > 1 else key, part, key_id)
        elif kind == "b":  # a range of a bundle
            key_id, offset, *part = rest
            if identity not in bundles:
                bundles[identity] = self.sealed(key, part, key_id)
                if len(bundles) > 8:
                    bundles.popitem(last=False)
            yield bundles[identity][offset : offset + entry["s"]]
        else:
            raise Problem(DAMAGED, f"its location is of the unknown kind {kind!r}")


def save(path: Path, pieces: Iterator[bytes]) -> None:
    """Write a new file; one that broke off half-way keeps another name, so that it cannot pass for a whole one."""
    require(not path.exists(), NOT_FOUND, f"{path} exists; name a new one")
    partial = path.with_name(".lc2-partial")
    with partial.open("wb") as file:
        file.writelines(pieces)
    partial.rename(path)


def each_file(repository: Repository, manifest: Json, target: Path | None, only: str) -> int:
    """Restore files, or only read them when there is no target; what fails is named and the rest goes on."""
    bundles: OrderedDict[str, bytes] = OrderedDict()
    done = failed = unproven = 0
    beside = runpy.run_path(str(Path(__file__).with_name("tree.py"))) if target else {}
    every = (each for name in manifest.get("streams", ()) for each in repository.entries(manifest, name))
    tree, files = (beside["Tree"](target, note), beside["files_of"](repository, manifest)) if target else (None, every)
    for entry in (each for each in files if each["k"].startswith(only)):
        try:
            content = repository.content(entry, bundles)
            tree.take(entry, content) if tree else deque(content, maxlen=0)
            is_file = entry["l"] != ["n"]
            done, unproven = done + is_file, unproven + (is_file and "h" not in entry)
        except (Problem, OSError, ValueError) as error:  # ValueError: a NUL in the key
            failed += 1
            note(f"FAILED {entry['k']!r}: {error.args[1] if isinstance(error, Problem) else error}")
    failed += tree.finish() if tree else 0
    note(f"{done} files done, {failed} failed; {unproven} have no SHA-256 in the manifest, only their size was checked")
    return INCOMPLETE if failed else 0


def act(repository: Repository, options: argparse.Namespace) -> int:
    if options.command == "list":
        for backup_id, each in repository.backups.items():
            row = [backup_id, each["component"], each["kind"], each["summary"]["restorable_until"], each["state"]]
            sys.stdout.write("\t".join([*row, str(each["summary"]["plain_bytes"])]) + "\n")
        return 0
    manifest = repository.manifest(options.backup)
    if options.command == "show":
        sys.stdout.write(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    elif options.command == "verify":
        for name in manifest["streams"]:
            note(f"{name}: {sum(map(len, repository.stream(manifest, name)))} bytes are as promised")
        return each_file(repository, manifest, None, options.only) if manifest["component"] == "files" else 0
    elif options.command == "files":
        target = Path(options.directory)
        empty = not target.exists() or (target.is_dir() and not any(target.iterdir()))
        require(empty, NOT_FOUND, f"{target} is not an empty directory; name a new one")
        return each_file(repository, manifest, target, options.only)
    elif options.file == "-":
        sys.stdout.buffer.writelines(repository.stream(manifest, options.stream))
        sys.stdout.buffer.flush()
    else:
        save(Path(options.file), repository.stream(manifest, options.stream))
    return 0


def failed(error: Exception) -> int:
    if isinstance(error, Problem):
        note(f"error: {error.args[1]}")
        return error.args[0]
    note(f"error: {type(error).__name__}: {error}")
    unreadable = isinstance(error, (ValueError, LookupError, TypeError, AttributeError))  # not the JSON it should be
    return 2 if isinstance(error, ImportError) else DAMAGED if unreadable else STORAGE


def main() -> int:
    texts = {
        "list": ("list backups: id, component, kind, restorable until, state, plain bytes", ()),
        "show": ("print a backup's manifest", ("backup",)),
        "stream": ("write a stream of a backup into a new file, or to - (stdout)", ("backup", "stream", "file")),
        "files": ("restore files of a backup, or a recovery point, into a new directory", ("backup", "directory")),
        "verify": ("read everything of a backup and check every hash", ("backup",)),
    }
    parser = argparse.ArgumentParser(description="Read an LC2 backup repository (format 1) without the service.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (text, positional) in texts.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("repository", help="a directory, or s3://bucket/prefix")
        for each in positional:
            command.add_argument(each)
        command.add_argument("--site", help="project/application; may be left out where there is only one")
        command.add_argument("--key-file", help="the site's key file")
        command.add_argument("--endpoint-url", help="address of an S3 server that is not AWS")
        command.add_argument("--only", default="", metavar="PREFIX", help="only files whose keys begin with this")
    options = parser.parse_args()
    at: str = options.repository
    try:
        store = S3(at, options.endpoint_url) if at.startswith("s3://") else Directory(at)
        return act(Repository(store, options.site, options.key_file), options)
    except Exception as error:  # noqa: BLE001 - also botocore's, whose errors have no family of ours
        return failed(error)


if __name__ == "__main__":
    sys.exit(main())
