"""The kit gives a recovering server archived WAL: whole or not at all, and damage is never the end of the archive."""

import ast
import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.repository.kit import kit_files
from lc2_backup_dagster.repository.site import open_site_repository
from lc2_backup_dagster.repository.wal.header import Sample, WalGap
from lc2_backup_dagster_tests.formats.freeze import ENCRYPTED, PLAIN, SYSTEM, _wal_text
from lc2_backup_dagster_tests.repository.kit.running import run_kit

MIB = 1 << 20
GIVEN, ABSENT, STOP = 0, 1, 255
SITE = ["--site", str(ENCRYPTED)]


def name(number: int, timeline: int = 1) -> str:
    return f"{timeline:08X}{number // 4096:08X}{number % 4096:08X}"


def plain(number: int, length: int = MIB, words: str = "wal") -> bytes:
    return _wal_text(number, f"{words} {number}", length)


class Bucket:
    """A repository with archived WAL, and a server's pg_wal that asks for it."""

    def __init__(self, root: Path, site=ENCRYPTED) -> None:
        self.root, self.key_file = root / "repository", root / "site.key"
        encrypted = site == ENCRYPTED
        wrapper = KeyFile.create(self.key_file) if encrypted else None
        store = DirectoryStore(self.root, create=True)
        self.archive = open_site_repository(store, site, wrapper=wrapper, create=True).wal(SYSTEM)
        self.pg_wal = root / "pg_wal"
        self.pg_wal.mkdir()
        self.target = self.pg_wal / "RECOVERYXLOG"
        self.key = ["--site", str(site), *(["--key-file", self.key_file] if encrypted else [])]
        self.folder = self.root / f"wal/{site}/{SYSTEM}"

    def run(self, *arguments: object, system: str = SYSTEM, key: list | None = None):
        self.target.unlink(missing_ok=True)
        secret = self.key if key is None else key
        script = self.root / "kit/0.1.0/wal.py"
        return run_kit(script, "fetch", self.root, system, *map(str, arguments), *secret)

    def fetch(self, wanted: str, *options: object, code: int = GIVEN, **changed) -> bytes | None:
        answer = self.run(wanted, self.target, *options, **changed)
        assert answer.returncode == code, answer.stderr
        assert self.target.exists() == (code == GIVEN)
        assert (answer.stderr != b"") == (code == STOP) or b"note: " in answer.stderr
        return self.target.read_bytes() if code == GIVEN else None

    def rows(self) -> list[list[str]]:
        answer = run_kit(self.root / "kit/0.1.0/wal.py", "list", self.root, *self.key)
        assert answer.returncode == 0, answer.stderr
        return [line.split("\t")[1:] for line in answer.stdout.decode().splitlines()]


@pytest.fixture
def bucket(tmp_path):
    return Bucket(tmp_path)


def test_segments_and_history_files_come_back_and_the_end_is_the_end(bucket):
    bucket.archive.put_segment(name(1), plain(1))
    bucket.archive.put_segment(name(2), plain(2))
    bucket.archive.put_partial(name(3), end_lsn=3 * MIB + 40, plain=plain(3, 40))
    bucket.archive.put_partial(name(3), end_lsn=3 * MIB + 999, plain=plain(3, 999))
    bucket.archive.put_history(2, b"1\t0/400000\tbecause\n")
    assert bucket.fetch(name(1)) == plain(1)
    assert bucket.fetch(name(2)) == plain(2)
    assert bucket.fetch(name(3)) == plain(3, 999) + bytes(MIB - 999)
    assert bucket.fetch("00000002.history") == b"1\t0/400000\tbecause\n"
    for absent in (name(4), name(3, timeline=2), "00000003.history", "000000010000000000000001.00000028.backup"):
        bucket.fetch(absent, code=ABSENT)
    assert not list(bucket.root.rglob("__pycache__"))


def test_the_whole_segment_counts_where_a_beginning_is_left_over(bucket):
    bucket.archive.put_partial(name(1), end_lsn=MIB + 999, plain=plain(1, 999))
    bucket.archive.put_segment(name(1), plain(1))
    assert bucket.fetch(name(1)) == plain(1)


def flip(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1])


def unsigned(body: bytes) -> bytes:
    header, _, sealed = body.partition(b"\n")
    fields = {**json.loads(header), "key_id": None, "hmac": None}
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode() + b"\n" + sealed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (flip, "other bytes than were promised"),
        (lambda body: body[:-20], "other bytes than were promised"),
        (lambda body: body[:100], "has no header"),
        (unsigned, "is not signed"),
        (lambda body: re.sub(b'"samples":\\[\\]', b'"samples":[["0/1","2026"]]', body), "the site's key"),
        (lambda body: body.replace(b'"key_id":"data-1"', b'"key_id":"data-9"'), "unknown data key"),
        (lambda body: body.replace(b'"format":1', b'"format":2'), "reads format 1"),
        (lambda body: body.replace(b'{"format"', b'{ "format"'), "not canonical"),
        (lambda body: b"", "has no header"),
        (lambda body: b"[]\n", "error"),
    ],
)
@pytest.mark.parametrize("what", ["segment", "partial", "history"])
def test_what_is_damaged_or_forged_stops_the_server(bucket, change, says, what):
    if what == "segment":
        bucket.archive.put_segment(name(1), plain(1))
        wanted, path = name(1), bucket.folder / f"00000001/{name(1)}"
    elif what == "partial":
        bucket.archive.put_partial(name(1), end_lsn=MIB + 999, plain=plain(1, 999))
        wanted = name(1)
        path = bucket.folder / f"00000001/{name(1)}.partial/{MIB + 999:016X}"
    else:
        bucket.archive.put_history(2, b"1\t0/400000\tbecause\n")
        wanted, path = "00000002.history", bucket.folder / "00000002.history"
    body = path.read_bytes()
    assert change(body) != body
    path.write_bytes(change(body))
    answer = bucket.run(wanted, bucket.target)
    assert (answer.returncode, bucket.target.exists()) == (STOP, False)
    assert says in answer.stderr.decode()
    assert b"Traceback" not in answer.stderr


def test_an_object_that_was_moved_stops_the_server(bucket):
    for number in (1, 2):
        bucket.archive.put_segment(name(number), plain(number))
    folder = bucket.folder / "00000001"
    shutil.copyfile(folder / name(2), folder / name(1))
    bucket.fetch(name(1), code=STOP)


def test_without_encryption_the_segment_itself_tells_that_it_was_moved(tmp_path):
    bucket = Bucket(tmp_path, PLAIN)
    for number in (1, 2):
        bucket.archive.put_segment(name(number), plain(number))
    assert bucket.fetch(name(1)) == plain(1)
    folder = bucket.folder / "00000001"
    shutil.copyfile(folder / name(2), folder / name(1))
    assert b"is not that segment" in bucket.run(name(1), bucket.target).stderr
    bucket.fetch(name(1), code=STOP)


def test_a_segment_of_another_length_than_its_name_says_stops_the_server(bucket):
    bucket.archive.put_segment(name(1), plain(1, 5000))
    bucket.archive.put_partial(name(2), end_lsn=2 * MIB + 1000, plain=plain(2, 999))
    bucket.fetch(name(1), code=STOP)
    bucket.fetch(name(2), code=STOP)


def test_wal_that_is_not_signed_is_refused_even_where_the_keys_were_removed(bucket, tmp_path):
    """Who can write to the bucket could otherwise turn encryption off and put WAL of his own."""
    (tmp_path / "other").mkdir()
    forged = Bucket(tmp_path / "other", PLAIN)
    forged.archive.put_segment(name(1), plain(1))
    shutil.rmtree(bucket.root / f"keys/{ENCRYPTED}")
    bucket.folder.mkdir(parents=True)
    shutil.copytree(forged.folder, bucket.folder, dirs_exist_ok=True)
    assert b"there is no key" in bucket.run(name(1), bucket.target).stderr
    bucket.fetch(name(1), code=STOP)


def test_a_hole_is_not_the_end_unless_somebody_says_so(bucket):
    bucket.archive.put_segment(name(1), plain(1))
    bucket.archive.put_partial(name(2), end_lsn=2 * MIB + 999, plain=plain(2, 999))
    bucket.archive.put_segment(name(4), plain(4))
    for number in (2, 3):
        bucket.fetch(name(number), code=STOP)
    assert b"missing behind 0/2003E7, though 000000010000000000000004" in bucket.run(name(2), bucket.target).stderr
    assert bucket.fetch(name(2), "--to-hole") == plain(2, 999) + bytes(MIB - 999)
    bucket.fetch(name(3), "--to-hole", code=ABSENT)
    bucket.fetch(name(5), code=ABSENT)


def test_what_the_backup_brought_itself_is_not_missing(bucket):
    """Archiving began after the backup: the server finds its first segments in pg_wal, where the backup put them."""
    bucket.archive.put_segment(name(4), plain(4))
    bucket.fetch(name(3), code=STOP)
    (bucket.pg_wal / name(3)).write_bytes(plain(3))
    bucket.fetch(name(3), code=ABSENT)
    (bucket.pg_wal / name(3)).write_bytes(plain(1))  # an old segment, renamed to be written again
    bucket.fetch(name(3), code=STOP)


def test_the_longer_of_the_servers_own_segment_and_the_archived_beginning_is_taken(bucket):
    own = bucket.pg_wal / name(1)
    bucket.archive.put_partial(name(1), end_lsn=MIB + 999, plain=plain(1, 999))
    own.write_bytes(plain(1, 5000) + bytes(MIB - 5000))
    bucket.fetch(name(1), code=ABSENT)
    own.write_bytes(plain(1, 500) + bytes(MIB - 500))
    assert bucket.fetch(name(1)) == plain(1, 999) + bytes(MIB - 999)


@pytest.mark.parametrize("form", ["segment", "partial"])
def test_an_old_timeline_is_given_up_to_where_the_one_that_is_followed_left_it(bucket, form):
    """The old server went on after the promotion; the new one's first segment is not archived yet (L-14)."""
    if form == "segment":
        bucket.archive.put_segment(name(1), plain(1))
    else:
        bucket.archive.put_partial(name(1), end_lsn=MIB + 9000, plain=plain(1, 9000))
    bucket.archive.put_segment(name(2), plain(2))
    bucket.archive.put_history(2, b"1\t0/1003E7\tbecause\n")
    if form == "segment":
        assert bucket.fetch(name(1)) == plain(1)
    (bucket.pg_wal / "00000002.history").write_bytes(bucket.fetch("00000002.history") or b"")
    option = [] if form == "segment" else ["--to-hole"]
    assert bucket.fetch(name(1), *option) == plain(1)[:999] + bytes(MIB - 999)
    bucket.fetch(name(2), code=ABSENT)


def test_a_history_file_that_is_gone_is_not_the_end_of_timelines(bucket):
    bucket.archive.put_segment(name(1, timeline=2), plain(1))
    bucket.fetch("00000002.history", code=STOP)
    (bucket.pg_wal / "00000002.history").write_bytes(b"1\t0/400000\tbecause\n")  # the backup's
    bucket.fetch("00000002.history", code=ABSENT)


def test_mistakes_stop_the_server(bucket, tmp_path):
    bucket.archive.put_segment(name(1), plain(1))
    KeyFile.create(tmp_path / "other.key")
    for arguments, changed in [
        ((name(9), bucket.target), {"system": "7445811234567890124"}),
        ((name(1), bucket.target), {"key": SITE}),
        ((name(1), bucket.target), {"key": [*SITE, "--key-file", "/nowhere.key"]}),
        ((name(1), bucket.target), {"key": [*SITE, "--key-file", tmp_path / "other.key"]}),
        ((name(1), bucket.target), {"key": ["--site", "retail/other", "--key-file", bucket.key_file]}),
        ((name(1), "/nowhere/RECOVERYXLOG"), {}),
        ((name(1),), {}),
        ((name(1), bucket.target, "--frobnicate"), {}),
    ]:
        answer = bucket.run(*arguments, **changed)
        assert answer.returncode == STOP, (arguments, answer.stderr)
        assert b"error: " in answer.stderr
        assert b"Traceback" not in answer.stderr
    bucket.target.write_bytes(b"mine")
    script = bucket.root / "kit/0.1.0/wal.py"
    assert run_kit(script, "fetch", "/nowhere/at/all", SYSTEM, name(1), bucket.target).returncode == STOP
    occupied = run_kit(script, "fetch", bucket.root, SYSTEM, name(1), bucket.target, *bucket.key)
    assert (occupied.returncode, bucket.target.read_bytes()) == (STOP, b"mine")
    (bucket.root / "kit/0.1.0/restore.py").write_text("raise ValueError")
    bucket.fetch(name(9), code=STOP)
    (bucket.root / "kit/0.1.0/restore.py").unlink()
    bucket.fetch(name(9), code=STOP)


def test_a_store_that_cannot_be_read_stops_the_server(bucket):
    bucket.archive.put_segment(name(1), plain(1))
    path = bucket.folder / f"00000001/{name(1)}"
    path.unlink()
    path.mkdir()  # reading fails for root, too
    bucket.fetch(name(1), code=STOP)


def test_the_list_tells_what_there_is_and_where_it_ends(bucket):
    for number in (4094, 4095, 4096, 4098):
        bucket.archive.put_segment(name(number), plain(number))
    bucket.archive.put_partial(name(4099, 2), end_lsn=4099 * MIB + 999, plain=plain(4099, 999))
    bucket.archive.put_history(2, b"1\t1/300000\tbecause\n")
    bucket.archive.put_gap(WalGap(1, 4097 * MIB, 4098 * MIB))
    bucket.archive.put_position(Sample(4099 * MIB + 999, datetime(2026, 11, 23, 2, tzinfo=UTC)), 2)
    assert bucket.rows() == [
        ["00000001", "segments", name(4094), name(4096)],
        ["00000001", "segments", name(4098), name(4098)],
        ["00000002", "history", "timeline 1", "left at 1/300000"],
        ["00000002", "partial", name(4099, 2), "up to 1/3003E7"],
        ["00000001", "missing", "1/100000", "1/200000"],
        ["00000002", "position", "1/3003E7", "2026-11-23T02:00:00.000000Z"],
    ]
    position = bucket.folder / "position.json"
    position.write_bytes(position.read_bytes().replace(b"2026-11-23", b"2027-11-23"))
    answer = run_kit(bucket.root / "kit/0.1.0/wal.py", "list", bucket.root, *bucket.key)
    assert answer.returncode == 4
    assert b"was not written with the site's key" in answer.stderr


def test_it_reads_straight_from_an_s3_server(bucket, s3_store, s3_access):
    bucket.archive.put_segment(name(1), plain(1))
    bucket.archive.put_partial(name(2), end_lsn=2 * MIB + 999, plain=plain(2, 999))
    source = DirectoryStore(bucket.root)
    for item in (each for each in source.list() if not each.key.startswith("kit/")):
        s3_store.put(f"some/prefix/{item.key}", source.get(item.key))
    environment = {
        "AWS_ACCESS_KEY_ID": s3_access.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_access.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    place = s3_store.url.removeprefix("s3://").partition(" ")[0].partition("/")[0]

    def fetch(wanted: str, endpoint: str = s3_access.endpoint) -> int:
        bucket.target.unlink(missing_ok=True)
        where = ["--endpoint-url", endpoint, *bucket.key]
        script = bucket.root / "kit/0.1.0/wal.py"
        url = f"s3://{place}/some/prefix"
        answer = run_kit(script, "fetch", url, SYSTEM, wanted, bucket.target, *where, environment=environment)
        return answer.returncode

    assert (fetch(name(1)), bucket.target.read_bytes()) == (GIVEN, plain(1))
    assert (fetch(name(2)), bucket.target.read_bytes()) == (GIVEN, plain(2, 999) + bytes(MIB - 999))
    assert fetch(name(3)) == ABSENT
    assert fetch(name(3), endpoint="http://127.0.0.1:9") == STOP


def test_it_runs_on_python_3_9_and_is_short():
    source = kit_files()["wal.py"].decode()
    ast.parse(source, feature_version=(3, 9))
    assert "lc2_backup_dagster" not in source
    assert len(source.splitlines()) < 250


def test_the_readme_explains_exactly_the_commands_that_exist():
    text, source = (kit_files()[each].decode() for each in ("README.txt", "wal.py"))
    used = set(re.findall(r"wal\.py (list|fetch|\w+) REPOSITORY", text))
    assert set(re.findall(r'^        "(\w+)": \(', source, re.MULTILINE)) == used == {"list", "fetch"}
