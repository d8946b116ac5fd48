"""Writes a small repository with everything format 1 has in it, and what a reader must find there.

    python -m lc2_backup_dagster_tests.formats.freeze DIRECTORY [--replace]
    python -m lc2_backup_dagster_tests.formats.freeze --vectors FILE

Run once for each format version, when the version is released; the result is committed and never changed (L-26).
The expectations come from what was put in, not from what was read back.
"""

import argparse
import base64
import hashlib
import io
import json
import os
import shutil
import stat
import struct
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.engines.files.capture.capture import FileSource, capture_files
from lc2_backup_dagster.engines.files.keeping.keep import RowsOfDump, keep_for_rows
from lc2_backup_dagster.engines.files.manifest.entry import Protection, decode_entries
from lc2_backup_dagster.engines.files.manifest.entry_lines import EntryLine, entry_lines
from lc2_backup_dagster.engines.postgres.base.tar_index import TarScanner
from lc2_backup_dagster.model.application import FileReference
from lc2_backup_dagster.model.site import BackupKind, Component, SiteId
from lc2_backup_dagster.model.window import Moment
from lc2_backup_dagster.operations.browse.stored_files import stored_lines
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.attempt import Attempt
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.kit import put_kit
from lc2_backup_dagster.repository.parts import Stream, WriteOptions
from lc2_backup_dagster.repository.reading import StoredStream
from lc2_backup_dagster.repository.record import Initiator, RecordType
from lc2_backup_dagster.repository.sealing import associated_data
from lc2_backup_dagster.repository.site import SiteRepository, open_site_repository
from lc2_backup_dagster.repository.wal.header import Sample, WalGap
from lc2_backup_dagster_tests.builders import a_draft, a_moment
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock
from lc2_backup_dagster_tests.formats.bucket_dump import BucketDump

KEY_FILE = "TEST-ONLY-throw-away.key"
ENCRYPTED, PLAIN = SiteId("retail", "liferay"), SiteId("retail", "drupal")
SYSTEM = "7445811234567890123"
SOMEBODY = Initiator(actor="alice", source="ui", run_id="0b7e5a", host="worker-1")
_OPTIONS = WriteOptions(part_bytes=64 * 1024)
_MIB = 1024 * 1024
_MOMENT = datetime.fromtimestamp(1_700_000_007, UTC)
"""When the rows were read: a file's time is its size, so what ``_change`` writes is younger, what it finds is not."""


def freeze(directory: Path) -> None:
    """Write ``repository/``, the key file and ``expected.json`` into a new directory."""
    directory.mkdir(parents=True)
    key = KeyFile.create(directory / KEY_FILE)
    store = BucketDump(directory / "repository", create=True)
    clock = SetClock()
    put_kit(store)
    expected: dict[str, Any] = {"format": layout.FORMAT_VERSION, "sites": {}}
    for site, wrapper in ((ENCRYPTED, key), (PLAIN, None)):
        repository = open_site_repository(store, site, wrapper=wrapper, create=True, clock=clock, options=_OPTIONS)
        expected["sites"][str(site)] = _Writer(repository, clock).write_everything()
        expected["repository_id"] = repository.repository_id
    shutil.rmtree(directory / "repository" / ".lc2-staging", ignore_errors=True)
    settings = '# Frozen bytes are never formatted.\nexclude = ["*"]\ncache-dir = "../../../.ruff_cache"\n'
    (directory / "ruff.toml").write_text(settings, encoding="ascii")
    expected["objects"] = {item.key: hashlib.sha256(store.get(item.key)).hexdigest() for item in store.list()}
    (directory / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n", encoding="ascii")


class _Writer:
    """Writes every kind of backup and of record into one site, and keeps what must be found."""

    def __init__(self, repository: SiteRepository, clock: SetClock) -> None:
        self._repository = repository
        self._clock = clock
        self._backups: dict[str, dict[str, Any]] = {}

    def write_everything(self) -> dict[str, Any]:
        base = self._database()
        self._wal_promise(self._increment(base))
        dump = self._dump()
        self._dump_in_a_directory()
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder)
            _fill(source)
            full = self._files(source, None)
            _change(source)
            files = self._files(source, full, posix=True, dump=dump)
            self._recovery_point(dump, files, self._configuration(), base, {**_facts(source), **_kept_facts()})
        self._dead_attempts()
        self._records(base, full)
        log = self._repository.log.history()
        return {
            "encrypted": self._repository.sealer.key_id is not None,
            "records": log.sequence,
            "head_sha256": log.head_sha256,
            "backups": self._backups,
            "wal": self._wal(),
        }

    def _database(self) -> CommittedBackup:
        tar, index = _base_tar()
        streams = {
            "tablespace-16400.tar": tar,
            "base.tar": tar,
            "backup_manifest": b'{ "PostgreSQL-Backup-Manifest-Version": 2 }\n',
            "tablespace-16400.index": index,
            "base.index": index,
        }
        details = {"tablespaces": [{"oid": 16400, "location": "/srv/extra"}], "system_identifier": SYSTEM}
        return self._commit(Component.DATABASE, streams, kind=BackupKind.FULL, details=details)

    def _increment(self, parent: CommittedBackup) -> CommittedBackup:
        tar, index = _base_tar()
        streams = {"base.tar": tar, "backup_manifest": b"{}", "base.index": index}
        return self._commit(Component.DATABASE, streams, kind=BackupKind.INCREMENTAL, parent=parent.backup_id)

    def _wal_promise(self, parent: CommittedBackup) -> None:
        self._commit(Component.DATABASE, {}, kind=BackupKind.WAL, parent=parent.backup_id)

    def _wal(self) -> dict[str, Any]:
        """Archive two segments of a megabyte, the beginning of a third, a history file, a gap and the position."""
        archive = self._repository.wal(SYSTEM)
        first, second = (_wal_text(number, f"segment {number}", _MIB) for number in (1, 2))
        beginning, history = _wal_text(3, "partial", 40_000), b"1\t0/300000\tno recovery target specified\n"
        samples = [Sample(lsn, self._clock.now()) for lsn in (0x100010, 0x100020)]
        archive.put_segment("000000010000000000000001", first, samples=samples)
        archive.put_segment("000000010000000000000002", second)
        archive.put_partial("000000020000000000000003", end_lsn=0x309C40, plain=beginning, samples=samples[:1])
        archive.put_history(2, history)
        archive.put_gap(WalGap(1, 0, 0x100000))
        archive.put_position(Sample(0x309C40, self._clock.now()), 2)
        return {
            "system_identifier": SYSTEM,
            "segments": {"000000010000000000000001": _fact(first), "000000010000000000000002": _fact(second)},
            "partials": {"000000020000000000000003": {"end_lsn": 0x309C40, **_fact(beginning)}},
            "histories": {"2": _fact(history)},
            "position": {"timeline": 2, "lsn": 0x309C40},
        }

    def _dump(self) -> CommittedBackup:
        streams = {
            "dump.custom": b"PGDMP" + _text("row of a table", 150_000),
            "globals.sql": b"CREATE ROLE liferay;\n",
            "file_references.jsonl": b"".join(
                b'{"key":"20097/35201/%s/1.0","row_id":"id=%d","size_bytes":%d}\n' % (name, number, size)
                for number, (name, size) in enumerate([(b"changes", 6), (b"report.txt", 6), (b"vanishes", 24)], start=1)
            ),
            "empty": b"",
        }
        details = {"server_version": "17.10", "tool_version": "17.10", "tables": 412}
        return self._commit(Component.DATABASE_DUMP, streams, kind=BackupKind.DUMP, details=details, summary=details)

    def _dump_in_a_directory(self) -> None:
        tar, _ = _base_tar()
        self._commit(Component.DATABASE_DUMP, {"dump.directory": tar}, kind=BackupKind.DUMP)

    def _configuration(self) -> CommittedBackup:
        documents = {
            "core.extension.yml": b"module:\n  node: 0\n",
            "language/de/größe.yml": b"name: Gr\xc3\xb6\xc3\x9fe\n",
        }
        tar, index = _export(documents)
        details = {"documents": len(documents), "documents_bytes": 44, "required": [], "unexported": [], "hooks": []}
        summary = {"documents": len(documents), "partial": False}
        backup = self._commit(
            Component.CONFIGURATION,
            {"export.tar": tar, "export.index": index},
            kind=BackupKind.FULL,
            details=details,
            summary=summary,
        )
        self._backups[backup.backup_id]["documents"] = {path: _fact(content) for path, content in documents.items()}
        return backup

    def _commit(self, component: Component, contents: dict[str, bytes], **draft: Any) -> CommittedBackup:
        self._clock.move(minutes=10)
        with self._repository.begin(component, window="2026-11-23", initiator=SOMEBODY) as attempt:
            written = [attempt.write_stream(name, io.BytesIO(content)) for name, content in contents.items()]
            self._clock.move(seconds=30)
            backup = attempt.commit(a_draft(streams=written, window="2026-11-23", **draft))
        self._expect(backup, {name: _fact(content) for name, content in contents.items()})
        return backup

    def _files(
        self, source: Path, base: CommittedBackup | None, *, posix: bool = False, dump: CommittedBackup | None = None
    ) -> CommittedBackup:
        self._clock.move(minutes=10)
        repository = self._repository
        bases = [base.backup_id] if base else []
        with repository.begin(Component.FILES, window="2026-11-23", initiator=SOMEBODY, bases=bases) as attempt:
            previous = []
            if base:
                with repository.open_stream(repository.manifest(base.backup_id), "files") as reader:
                    previous = list(decode_entries(reader, name="files"))
            store = DirectoryStore(source, posix=posix)
            files = FileSource(store, source_id="frozen", protection_of=_protection)
            captured = capture_files(attempt, repository, files, previous=previous)
            streams, details = captured.streams, {"source_id": "frozen", "partial": False}
            if base and dump:
                kept = self._kept(attempt, files, captured.streams[0], base, dump)
                streams, details["kept"] = (*streams, kept), {"dump": dump.backup_id}
            moment = Moment(self._clock.now(), self._clock.now())
            kind = BackupKind.INCREMENTAL if base else BackupKind.FULL
            backup = attempt.commit(
                a_draft(
                    kind=kind,
                    parent=base and base.backup_id,
                    streams=streams,
                    moment=moment,
                    window="2026-11-23",
                    details=details,
                    summary={"source_id": "frozen", "objects": captured.counts.objects},
                )
            )
        self._expect(backup, {})
        self._backups[backup.backup_id]["files"] = _facts(source)
        if posix:
            self._backups[backup.backup_id]["tree"] = _tree(source)
        return backup

    def _kept(
        self, attempt: Attempt, files: FileSource, listed: Stream, base: CommittedBackup, dump: CommittedBackup
    ) -> Stream:
        """Keep for the rows what was changed and deleted since ``base``."""
        repository = self._repository
        key_id = repository.sealer.key_id
        stored = StoredStream(repository.store, repository.sealer, prefix=attempt.prefix, stream=listed, key_id=key_id)
        references = [FileReference(key, "", fact["bytes"]) for key, fact in sorted(_kept_facts().items())]

        @contextmanager
        def new_lines() -> Iterator[Iterator[EntryLine]]:
            with stored.open() as reader:
                yield entry_lines(reader, name="files")

        kept = keep_for_rows(
            attempt,
            repository,
            files,
            RowsOfDump(dump.backup_id, _MOMENT, lambda: nullcontext(iter(references))),
            listed=new_lines,
            known=lambda: stored_lines(repository, base),
            versions=False,
        )
        assert kept.stream is not None and kept.from_backup == len(references)
        return kept.stream

    def _recovery_point(
        self,
        dump: CommittedBackup,
        files: CommittedBackup,
        configuration: CommittedBackup,
        base: CommittedBackup,
        facts: dict[str, Any],
    ) -> None:
        self._clock.move(minutes=10)
        members = {
            str(member.component): {"backup_id": member.backup_id, "manifest_sha256": member.manifest_sha256}
            for member in (dump, files, configuration)
        }
        ids = [dump.backup_id, files.backup_id, configuration.backup_id]
        with self._repository.begin(
            Component.RECOVERY_POINT, window="2026-11-23", initiator=SOMEBODY, bases=ids
        ) as attempt:
            backup = attempt.commit(
                a_draft(
                    kind=BackupKind.BINDING,
                    window="2026-11-23",
                    moment=a_moment(),
                    details={
                        "members": members,
                        "missing": {},
                        "skipped": {"search_index": "not captured"},
                        "physical": {"base": base.backup_id, "reaches_moment": False, "reason": "no WAL is archived"},
                        "row_match": {"rows": 1, "dangling": [], "orphans": ["größe.txt"]},
                        "after_restore": ["reindex required"],
                    },
                    summary={"member_ids": ids},
                )
            )
        self._expect(backup, {})
        self._backups[backup.backup_id]["files_of_moment"] = facts

    def _dead_attempts(self) -> None:
        repository = self._repository
        try:
            with repository.begin(Component.DATABASE, window=None, initiator=SOMEBODY) as failing:
                failing.write_stream("base.tar", io.BytesIO(b"half a backup"))
                raise ConnectionError("the server went away: größe")
        except ConnectionError:
            pass
        zombie = repository.begin(Component.DATABASE, window=None, initiator=SOMEBODY).__enter__()
        zombie._heartbeat.stop()
        superseding = self._commit(Component.DATABASE, {"base.tar": b"after a dead attempt"}, kind=BackupKind.FULL)
        self._tell(RecordType.EXPIRE, backup_ids=[superseding.backup_id])
        self._backups[superseding.backup_id]["expired"] = True

    def _records(self, base: CommittedBackup, full: CommittedBackup) -> None:
        purged = self._commit(Component.DATABASE, {"base.tar": b"gone"}, kind=BackupKind.FULL)
        self._tell(RecordType.EXPIRE, backup_ids=[purged.backup_id, full.backup_id])
        self._tell(RecordType.UNDELETE, backup_ids=[full.backup_id])
        self._tell(RecordType.PURGE, backup_ids=[purged.backup_id])
        del self._backups[purged.backup_id]
        self._tell(RecordType.HOLD, backup_id=base.backup_id, reason="audit 2026")
        self._tell(RecordType.HOLD, backup_id=base.backup_id, reason="another")
        self._tell(RecordType.RELEASE, backup_id=base.backup_id, reason="another")
        self._tell(RecordType.RESTORE, backup_id=base.backup_id, result="completed")
        self._tell(RecordType.REFUSE, reason='a "bad" request\n\t\x7f\u2028\U0001f600')
        self._tell(RecordType.REENCRYPT)

    def _tell(self, type: RecordType, **body: Any) -> None:
        self._clock.move(seconds=5)
        self._repository.tell(type, initiator=SOMEBODY, body=body)

    def _expect(self, backup: CommittedBackup, streams: dict[str, Any]) -> None:
        self._backups[backup.backup_id] = {
            "component": str(backup.component),
            "kind": str(backup.kind),
            "parent": backup.parent,
            "expired": False,
            "streams": streams,
            "files": {},
        }


def _protection(key: str) -> Protection:
    return Protection.STORE if key.startswith("generated/") else Protection.CLIENT


def _fill(source: Path) -> None:
    _write(source, "20097/35201/report.txt/1.0", b"report")
    _write(source, "20097/35201/empty/1.0", b"")
    _write(source, "20097/35201/Ünïcode + %41 👍.txt/1.0~7d1f", _text("small", 2_000))
    _write(source, "20097/35201/latin1-caf\udce9.txt", b"a name that is not UTF-8")
    _write(source, "20097/35201/changes/1.0", b"before")
    _write(source, "20097/35201/vanishes/1.0", b"only in the first backup")
    _write(source, "20097/35202/alone.txt/1.0", _text("one part", _MIB + 5_000))
    _write(source, "20097/35202/several.txt/1.0", _text("several parts", 8 * _MIB + 7_000))
    _write(source, "generated/thumbnail.png", bytes(range(256)) * 4)
    _write(source, "generated/changes.png", b"\x89PNG before")


def _change(source: Path) -> None:
    (source / "20097/35201/vanishes/1.0").unlink()
    _write(source, "20097/35201/changes/1.0", b"after it")
    _write(source, "20097/35201/changes/1.1", b"a new version")
    _write(source, "generated/changes.png", b"\x89PNG after it")
    (source / "20097/way").symlink_to("../nowhere-caf\udce9")
    (source / "20097/empty").mkdir(mode=0o700)
    (source / "20097/empty").chmod(0o2750)
    (source / "20097/35201/report.txt/1.0").chmod(0o640)


def _kept_facts() -> dict[str, Any]:
    """Return what rows of the dump name and ``_change`` has changed or deleted, as it was before."""
    return {
        "20097/35201/changes/1.0": _fact(b"before"),
        "20097/35201/vanishes/1.0": _fact(b"only in the first backup"),
    }


def _write(source: Path, key: str, content: bytes) -> None:
    path = source / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (1_700_000_000 + len(content), 1_700_000_000 + len(content)))


def _facts(source: Path) -> dict[str, Any]:
    paths = [path for path in source.rglob("*") if path.is_file()]
    return {str(path.relative_to(source)): _fact(path.read_bytes()) for path in paths}


def _tree(source: Path) -> dict[str, Any]:
    """Return what only a file system has: mode of each file and folder, and where each link leads."""
    return {
        str(path.relative_to(source)): str(path.readlink()) if path.is_symlink() else stat.S_IMODE(path.stat().st_mode)
        for path in source.rglob("*")
        if path.name != ".lc2-staging"
    }


def _fact(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _text(words: str, length: int) -> bytes:
    """Return text that compresses well and differs from place to place."""
    filling = f"{words}\n" * (4096 // len(words))
    return "".join(f"{number:08d}\n{filling}" for number in range(length // len(filling) + 1)).encode()[:length]


def _wal_text(number: int, words: str, length: int) -> bytes:
    """Return text in a segment's clothes: with the position, the system and the segment size at its beginning."""
    page = struct.pack("<HHIQI4xQII", 0xD116, 2, 1, number * _MIB, 0, int(SYSTEM), _MIB, 8192)
    return page + _text(words, length - len(page))


def _export(documents: dict[str, bytes]) -> tuple[bytes, bytes]:
    """Build an export as FORMAT.md says it, without the engine that writes them."""
    tar, lines = io.BytesIO(), []
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in sorted(documents.items(), key=lambda each: each[0].encode()):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
            offset = tar.tell() - (len(content) + 511) // 512 * 512
            digest = hashlib.sha256(content).hexdigest()
            line = {"path": path, "size": len(content), "sha256": digest, "offset": offset}
            lines.append(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        end = tar.tell()
    return tar.getvalue()[: end + 1024], b"".join(lines)


def _base_tar() -> tuple[bytes, bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in {
            "backup_label": b"START WAL LOCATION: 0/3000028 (file 000000010000000000000003)\n",
            "PG_VERSION": b"17\n",
            "base/5/1259": _text("page", 120_000),
            "pg_wal/000000010000000000000003": bytes(65_536),
        }.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(content), 1_700_000_000, 0o600
            tar.addfile(member, io.BytesIO(content))
    lines: list[bytes] = []
    scanner = TarScanner(lambda member: lines.append(member.to_line()))
    scanner.feed(buffer.getvalue())
    scanner.finish()
    return buffer.getvalue(), b"".join(lines)


def vectors() -> dict[str, Any]:
    """Return test vectors for those who write a reader of their own: every step with its inputs and its result."""
    clock = SetClock()
    store = MemoryStore(clock)
    kek = KeyFile(hashlib.sha256(b"the published key of the test vectors").digest(), place="vectors")
    repository = open_site_repository(store, ENCRYPTED, wrapper=kek, create=True, clock=clock)
    repository.tell(RecordType.REFUSE, initiator=SOMEBODY, body={"reason": 'größe \x7f\u2028 "quoted"\n'})
    wrapped = json.loads(store.get("keys/retail/liferay/data-1.json"))
    binding = f"lc2-backup/1 data key\n{repository.repository_id}\n{ENCRYPTED}\ndata-1"
    secret = kek.unwrap(base64.b64decode(wrapped["wrapping"]["wrapped"]), associated_data=binding.encode())
    return {
        "what": "test vectors of LC2 backup repositories, format 1; its keys are published and protect nothing",
        "key_file": base64.b64encode(kek._key).decode() + "\n",
        "key_encryption_key_id": kek.key_id,
        "marker": store.get(layout.MARKER).decode(),
        "data_key": {
            "object": store.get("keys/retail/liferay/data-1.json").decode(),
            "associated_data": binding,
            "secret": secret.decode(),
        },
        "sealed": [
            _sealed_vector(repository, f"files/retail/liferay/00/{name}", plain) for name, plain in _PLAINS.items()
        ],
        "record": {"object": store.get(layout.log_key(ENCRYPTED, 1)).decode(), "sequence": 1},
    }


_PLAINS = {"empty": b"", "short": b"restored without the service", "zeros": bytes(100_000)}


def _sealed_vector(repository: SiteRepository, key: str, plain: bytes) -> dict[str, Any]:
    stored = repository.sealer.seal(plain, key=key)
    return {
        "key": key,
        "key_id": repository.sealer.key_id,
        "associated_data": associated_data(repository.repository_id, key).decode(),
        "stored": base64.b64encode(stored).decode(),
        "part": [len(plain), len(stored), hashlib.sha256(plain).hexdigest(), hashlib.sha256(stored).hexdigest()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--replace", action="store_true", help="before a release only: remove the directory first")
    parser.add_argument("--vectors", type=Path, metavar="FILE", help="write test vectors for the restore kit instead")
    options = parser.parse_args()
    if options.vectors:
        options.vectors.write_text(json.dumps(vectors(), indent=1) + "\n", encoding="ascii")
        return
    if not options.directory:
        parser.error("name a directory")
    if options.replace:
        shutil.rmtree(options.directory, ignore_errors=True)
    freeze(options.directory)


if __name__ == "__main__":
    main()
