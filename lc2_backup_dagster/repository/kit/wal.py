"""Restore kit of LC2 backup repositories, format 1: gives archived WAL to a PostgreSQL server that recovers.

Lies beside restore.py and needs what that needs. README.txt has the commands (4c), FORMAT.md the rules (section 14).
What is given out was proven: header (its HMAC, with the key) -> SHA-256 -> decryption -> SHA-256 -> its first page.

Exit codes of fetch: 0 given, 1 certainly not archived, 255 anything else. PostgreSQL takes 1 for the end of the
archive and comes up; a code above 125 stops it, so that it never comes up short of WAL that is damaged or out of
reach. Exit codes of list: those of restore.py.
"""
# ruff: noqa: D102, D103 - short enough to be read whole by someone in a hurry; FORMAT.md explains each step

from __future__ import annotations

import argparse
import hmac
import importlib.util
import json
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ABSENT, STOP = 1, 255
HEADER_BYTES, MAXIMUM = 4096, 1 << 30
SEGMENT = re.compile(r"[0-9A-F]{24}")
HISTORY = re.compile(r"[0-9A-F]{8}\.history")
Json = dict[str, Any]


def beside(name: str) -> Any:
    """Load another script of the kit."""
    sys.dont_write_bytecode = True  # the kit may lie in the repository itself, and nothing is written there
    spec = importlib.util.spec_from_file_location(name.partition(".")[0], Path(__file__).with_name(name))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


try:
    restore = beside("restore.py")
except Exception as error:  # noqa: BLE001 - Python itself would end with 1, which means "not archived"
    sys.stderr.write(f"error: restore.py cannot be loaded from beside wal.py: {error}\n")
    sys.exit(STOP)
Problem, require, DAMAGED, NOT_FOUND = restore.Problem, restore.require, restore.DAMAGED, restore.NOT_FOUND


def lsn_value(text: str) -> int:
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def lsn_text(value: int) -> str:
    return f"{value >> 32:X}/{value & 0xFFFFFFFF:X}"


def begin_of(name: str, size: int) -> int:
    """Return the position where a segment begins."""
    return (int(name[8:16], 16) << 32) + int(name[16:24], 16) * size


def first_page(content: bytes) -> tuple[int, str, int]:
    """Return position, system and segment size as PostgreSQL writes them at the beginning of every segment."""
    position, system, size = struct.unpack_from("=8xQ8xQI", content) if len(content) >= 36 else (0, 0, 0)
    return position, str(system), size


class Archive:
    """The archived WAL of one system."""

    def __init__(self, repository: Any, system: str) -> None:
        self.repository = repository
        self.store = repository.store
        self.system = system
        self.root = f"wal/{repository.site}/{system}"

    def proven(self, data: bytes, key: str) -> Json:
        """Read a header or document and prove that it was written for this place, with the site's key."""
        fields = json.loads(data)
        require(restore.canonical(fields) == data, DAMAGED, f"{key} is not canonical: it was changed")
        require(fields["format"] == 1, DAMAGED, f"this kit reads format 1, {key} has format {fields['format']}")
        claimed, key_id, keys = fields.pop("hmac"), fields["key_id"], self.repository.log_keys
        if key_id is None and not keys:
            return fields
        require(key_id is not None, DAMAGED, f"{key} is not signed, though this site is encrypted")
        require(key_id in keys, DAMAGED, f"{key} is signed with the unknown data key {key_id}")
        message = f"lc2-backup/1 wal\n{self.repository.id}\n{key}\n".encode() + restore.canonical(fields)
        good = hmac.compare_digest(str(claimed), hmac.new(keys[key_id], message, "sha256").hexdigest())
        require(good, DAMAGED, f"{key} was not written with the site's key, or not for this place")
        return fields

    def header(self, start: bytes, key: str) -> tuple[Json, int]:
        """Return the first line of an object and where the sealed bytes begin."""
        end = start.find(b"\n", 0, HEADER_BYTES)
        require(end >= 0, DAMAGED, f"{key} has no header")
        return self.proven(start[:end], key), end + 1

    def content(self, key: str) -> bytes | None:
        """Return the proven plain text of an object; None when it is certainly absent."""
        try:
            body = b"".join(self.store.chunks(key))
        except FileNotFoundError:
            return None
        header, start = self.header(body, key)
        part = [header[f"{form}_{what}"] for what in ("bytes", "sha256") for form in ("plain", "stored")]
        return self.repository.opened(key, body[start:], part, header["key_id"])

    def history(self, name: str, pg_wal: Path, to_hole: bool) -> bytes | None:
        content = self.content(f"{self.root}/{name}")
        if content is None and not to_hole and int(name[:8], 16) > 1 and not (pg_wal / name).exists():
            there = self.store.names(f"{self.root}/{name[:8]}")
            require(not there, DAMAGED, f"{name} is missing, though WAL of this timeline is archived")
        return content

    def segment(self, name: str, pg_wal: Path, to_hole: bool) -> bytes | None:
        """Return a segment, or the beginning there is of the last one, filled up with zeros; None when it is absent."""
        folder, own = f"{self.root}/{name[:8]}", pg_wal / name
        for _ in range(3):  # a receiver may be at work: what was just listed may have given way to something longer
            content = self.content(f"{folder}/{name}")
            if content is not None:
                return self.cut(name, content, None, pg_wal)
            names = self.store.names(folder)
            if name in names:
                continue
            ends = self.store.names(f"{folder}/{name}.partial")
            if ends and (content := self.content(f"{folder}/{name}.partial/{ends[-1]}")) is None:
                continue
            # A backup brings the WAL that makes it consistent, which may reach further than the archive does.
            if own.is_file() and self.holds(name, own.read_bytes(), content or b""):
                return None
            later = sorted(each[:24] for each in names if SEGMENT.match(each) and each[:24] > name)
            if later and not to_hole:
                until = f" behind {lsn_text(int(ends[-1], 16))}" if ends else ""
                raise Problem(DAMAGED, f"{name} is missing{until}, though {later[0]} is archived; see --to-hole")
            return None if content is None else self.cut(name, content, int(ends[-1], 16), pg_wal)
        raise Problem(restore.STORAGE, f"{name} changes again and again while it is read")

    def holds(self, name: str, own: bytes, beginning: bytes) -> bool:
        """Say whether the server's own file is this segment and has all that the archive has of it."""
        position, system, size = first_page(own)
        return system == self.system and position == begin_of(name, size) and own.startswith(beginning)

    def cut(self, name: str, content: bytes, end: int | None, pg_wal: Path) -> bytes | None:
        """Check a segment, and cut off what lies behind where the timeline that the server follows left this one.

        Which one that is tells the newest history file beside the target: the server keeps there what it fetched.
        """
        position, system, size = first_page(content)
        good = system == self.system and position == begin_of(name, size) and size <= MAXIMUM
        good = good and position + len(content) == (end or position + size)
        require(good, DAMAGED, f"{name} is not that segment of system {self.system}, or not as long as it should be")
        newest = max((path.name for path in pg_wal.glob("*.history") if HISTORY.fullmatch(path.name)), default="")
        if newest > name[:8]:
            for fields in map(str.split, (pg_wal / newest).read_text(encoding="utf-8", errors="replace").splitlines()):
                if fields[:1] == [str(int(name[:8], 16))] and lsn_value(fields[1]) < position + len(content):
                    restore.note(f"note: {name} is given up to {fields[1]}, where its timeline was left ({newest})")
                    content = content[: max(0, lsn_value(fields[1]) - position)]
        return content.ljust(size, b"\0") if content else None

    def rows(self) -> Iterator[list[str]]:
        """Yield what there is: timeline, what, and two values each."""
        found = self.store.names(self.root)
        for timeline in sorted({each[:8] for each in found if re.match("[0-9A-F]{8}", each)}):
            history = self.content(f"{self.root}/{timeline}.history") or b""
            for fields in map(str.split, history.decode("utf-8", "replace").splitlines()):
                if fields and not fields[0].startswith("#"):
                    yield [timeline, "history", f"timeline {fields[0]}", f"left at {fields[1]}"]
            names = self.store.names(f"{self.root}/{timeline}")
            whole = [each for each in names if SEGMENT.fullmatch(each)]
            for first, last in self.runs(whole, f"{self.root}/{timeline}"):
                yield [timeline, "segments", first, last]
            for each in (each[:24] for each in names if each.endswith(".partial") and each[:24] not in whole):
                for end in self.store.names(f"{self.root}/{timeline}/{each}.partial")[-1:]:
                    yield [timeline, "partial", each, f"up to {lsn_text(int(end, 16))}"]
        gaps = [f"gaps/{each}" for each in self.store.names(f"{self.root}/gaps")]
        for key in (f"{self.root}/{name}" for name in gaps + [each for each in found if each == "position.json"]):
            fields = self.proven(b"".join(self.store.chunks(key)), key)
            what, *values = ("position", "lsn", "time") if "lsn" in fields else ("missing", "from_lsn", "until_lsn")
            yield [f"{fields['timeline']:08X}", what, *(fields[each] for each in values)]

    def runs(self, whole: list[str], folder: str) -> Iterator[tuple[str, str]]:
        """Yield first and last of each run of segments without a hole."""
        if whole:
            key = f"{folder}/{whole[0]}"
            size = self.header(next(iter(self.store.chunks(key))), key)[0]["plain_bytes"]
            begins = [begin_of(each, size) for each in whole]
            firsts = [at for at in range(len(whole)) if at == 0 or begins[at] != begins[at - 1] + size]
            for first, behind in zip(firsts, [*firsts[1:], len(whole)]):  # noqa: B905 - strict= came with 3.10
                yield whole[first], whole[behind - 1]


def act(repository: Any, options: argparse.Namespace) -> int:
    store, site, key_file = repository.store, repository.site, options.key_file
    encrypted = bool(store.names(f"keys/{site}"))
    require(key_file or not encrypted, NOT_FOUND, f"{site} is encrypted: name its key with --key-file")
    require(
        encrypted or not key_file, DAMAGED, f"there is no key of {site} in the repository, though there is {key_file}"
    )
    systems = store.names(f"wal/{site}")
    if options.command == "list":
        for system in systems:
            for row in Archive(repository, system).rows():
                sys.stdout.write("\t".join([system, *row]) + "\n")
        return 0
    require(options.system in systems, NOT_FOUND, f"no WAL of this system is archived, but of: {', '.join(systems)}")
    archive, target, name = Archive(repository, options.system), Path(options.target), options.name
    give = archive.segment if SEGMENT.fullmatch(name) else archive.history if HISTORY.fullmatch(name) else None
    content = give(name, target.parent, options.to_hole) if give else None
    if content is None:
        return ABSENT
    restore.save(target, iter([content]))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Give archived WAL of an LC2 backup repository (format 1).")
    commands = parser.add_subparsers(dest="command", required=True)
    texts = {
        "list": ("list archived WAL: system, timeline, what, and from where to where", ()),
        "fetch": ("write a segment or history file to a new file: for restore_command", ("system", "name", "target")),
    }
    for command, (text, positional) in texts.items():
        each = commands.add_parser(command, help=text)
        each.add_argument("repository", help="a directory, or s3://bucket/prefix")
        for argument in positional:
            each.add_argument(argument)
        each.add_argument("--site", help="project/application; may be left out where there is only one")
        each.add_argument("--key-file", help="the site's key file; must be named where the site is encrypted")
        each.add_argument("--endpoint-url", help="address of an S3 server that is not AWS")
        each.add_argument("--to-hole", action="store_true", help="let recovery end where WAL is missing in the middle")
    fetching = sys.argv[1:2] == ["fetch"]
    try:
        options = parser.parse_args()
        at: str = options.repository
        store = restore.S3(at, options.endpoint_url) if at.startswith("s3://") else restore.Directory(at)
        return act(restore.Repository(store, options.site, options.key_file, log=False), options)
    except SystemExit as stop:  # argparse: 0 after --help, 2 for wrong arguments
        return STOP if fetching and stop.code else int(stop.code or 0)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is not the end of the archive
        return max(restore.failed(error), STOP if fetching else 0)


if __name__ == "__main__":
    sys.exit(main())
