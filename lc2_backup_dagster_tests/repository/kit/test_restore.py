"""The restore kit reads what our code wrote, without our code, and refuses what it cannot prove."""

import base64
import hashlib
import hmac
import json
from argparse import Namespace
from pathlib import Path
from typing import ClassVar

import pytest

from lc2_backup_dagster.repository import canonical
from lc2_backup_dagster.repository.kit import kit_files, put_kit
from lc2_backup_dagster_tests.fakes import MemoryStore
from lc2_backup_dagster_tests.repository.kit.running import run_kit

LIFERAY, DRUPAL = "retail/liferay", "retail/drupal"
LOG = "log/retail/liferay/"


@pytest.mark.parametrize("site", [LIFERAY, DRUPAL])
def test_it_lists_every_backup_with_its_state(pristine, site):
    answer = pristine.run("list", site=site)
    assert answer.returncode == 0, answer.stderr
    rows = [line.split("\t") for line in answer.stdout.decode().splitlines()]
    expected = pristine.expected["sites"][site]["backups"]
    assert {row[0]: (row[1], row[2], row[4]) for row in rows} == {
        name: (each["component"], each["kind"], "expired" if each["expired"] else "committed")
        for name, each in expected.items()
    }
    assert answer.stderr == b""


def test_without_the_key_it_still_lists_and_says_what_it_cannot_prove(pristine):
    answer = pristine.run("list", key=False)
    assert answer.returncode == 0
    assert b"signatures are not" in answer.stderr
    assert len(answer.stdout.splitlines()) == len(pristine.expected["sites"][LIFERAY]["backups"])
    refused = pristine.run("stream", pristine.backup(LIFERAY, "database"), "base.tar", "-", key=False)
    assert (refused.returncode, refused.stdout) == (3, b"")
    assert b"--key-file" in refused.stderr


@pytest.mark.parametrize(("site", "component"), [(LIFERAY, "database"), (DRUPAL, "database_dump")])
def test_streams_come_back_byte_for_byte(pristine, tmp_path, site, component):
    backup = pristine.backup(site, component)
    for name, fact in pristine.expected["sites"][site]["backups"][backup]["streams"].items():
        answer = pristine.run("stream", backup, name, tmp_path / name, site=site)
        assert answer.returncode == 0, answer.stderr
        content = (tmp_path / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (fact["bytes"], fact["sha256"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        pristine.expected["sites"][site]["backups"][backup]["streams"]
    )


def test_a_stream_may_go_to_standard_output(pristine):
    backup = pristine.backup(LIFERAY, "database_dump")
    answer = pristine.run("stream", backup, "dump.custom", "-")
    fact = pristine.expected["sites"][LIFERAY]["backups"][backup]["streams"]["dump.custom"]
    assert hashlib.sha256(answer.stdout).hexdigest() == fact["sha256"]
    assert answer.returncode == 0


@pytest.mark.parametrize(("site", "index"), [(LIFERAY, 0), (LIFERAY, 1), (DRUPAL, 1)])
def test_files_of_every_kind_of_location_come_back(pristine, tmp_path, site, index):
    backup = pristine.backup(site, "files", index=index)
    target = tmp_path / "new"
    answer = pristine.run("files", backup, target, site=site)
    assert answer.returncode == 0, answer.stderr
    expected = pristine.expected["sites"][site]["backups"][backup]["files"]
    found = {str(path.relative_to(target)): path for path in target.rglob("*") if path.is_file()}
    assert found.keys() == expected.keys()
    for name, path in found.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == expected[name]["sha256"], name
        assert path.stat().st_mtime == 1_700_000_000 + expected[name]["bytes"]


@pytest.mark.parametrize("site", [LIFERAY, DRUPAL])
def test_the_files_of_a_point_are_those_of_its_moment(pristine, tmp_path, site):
    """What was changed and deleted after the dump's moment is laid over the listing, for a point and nothing else."""
    point = pristine.backup(site, "recovery_point")
    answer = pristine.run("files", point, tmp_path / "new", site=site)
    assert answer.returncode == 0, answer.stderr
    found = {str(path.relative_to(tmp_path / "new")): path for path in (tmp_path / "new").rglob("*") if path.is_file()}
    facts = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.items()}
    expected = pristine.expected["sites"][site]["backups"]
    assert facts == {key: fact["sha256"] for key, fact in expected[point]["files_of_moment"].items()}
    listed = expected[pristine.backup(site, "files", index=1)]["files"]
    assert "20097/35201/vanishes/1.0" in facts.keys() - listed.keys()
    assert facts["20097/35201/changes/1.0"] != listed["20097/35201/changes/1.0"]["sha256"]


def test_a_choice_of_files_comes_back_alone(pristine, tmp_path):
    answer = pristine.run("files", pristine.backup(LIFERAY, "files"), tmp_path / "new", "--only", "generated/")
    assert answer.returncode == 0, answer.stderr
    assert sorted(path.name for path in (tmp_path / "new").rglob("*.*")) == ["changes.png", "thumbnail.png"]


def test_verify_reads_everything(pristine):
    answer = pristine.run("verify", pristine.backup(LIFERAY, "files", index=1))
    assert answer.returncode == 0
    assert b"files.kept: " in answer.stderr
    assert b"12 files done, 0 failed; 2 have no SHA-256" in answer.stderr


def test_show_prints_the_manifest_that_names_the_members(pristine):
    answer = pristine.run("show", pristine.backup(LIFERAY, "recovery_point"))
    members = json.loads(answer.stdout)["details"]["members"]
    assert members["files"]["backup_id"] == pristine.backup(LIFERAY, "files", index=1)


def test_nothing_that_exists_is_overwritten(pristine, tmp_path):
    (tmp_path / "base.tar").write_bytes(b"mine")
    backup = pristine.backup(LIFERAY, "database")
    answer = pristine.run("stream", backup, "base.tar", tmp_path / "base.tar")
    assert (answer.returncode, (tmp_path / "base.tar").read_bytes()) == (3, b"mine")
    answer = pristine.run("files", pristine.backup(LIFERAY, "files"), tmp_path)
    assert answer.returncode == 3
    assert b"not an empty directory" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("show", "REPOSITORY", "20200101T000000Z-00000000", "--site", LIFERAY), 3, "the log names no backup"),
        (("stream", "REPOSITORY", "BACKUP", "nothing", "-", "--site", LIFERAY), 3, "base.tar"),
        (("list", "REPOSITORY"), 3, "retail/drupal, retail/liferay"),
        (("list", "/"), 3, "lc2-repository.json is missing"),
        (("list", "/nowhere/at/all"), 3, "is not a directory"),
        (("list", "REPOSITORY", "--site", LIFERAY, "--key-file", "/nowhere.key"), 3, "/nowhere.key is absent"),
        (("frobnicate",), 2, "invalid choice"),
    ],
)
def test_mistakes_are_explained(pristine, arguments, code, says):
    known = {"REPOSITORY": pristine.repository, "BACKUP": pristine.backup(LIFERAY, "database")}
    answer = run_kit(pristine.script, *[known.get(each, each) for each in arguments])
    assert (answer.returncode, answer.stdout) == (code, b"")
    assert says in answer.stderr.decode()
    assert b"Traceback" not in answer.stderr


def test_a_wrong_key_is_named(pristine, tmp_path):
    (tmp_path / "other.key").write_bytes(base64.b64encode(bytes(32)) + b"\n")
    answer = run_kit(
        pristine.script, "list", pristine.repository, "--site", LIFERAY, "--key-file", tmp_path / "other.key"
    )
    assert answer.returncode == 3
    assert b"wrong key" in answer.stderr


def flip(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1])


@pytest.mark.parametrize(
    ("key", "change", "says"),
    [
        (f"{LOG}{3:020d}.json", None, f"{3:020d}.json is missing"),
        (f"{LOG}{3:020d}.json", lambda body: body.replace(b"alice", b"mallo"), "was not written with the site's key"),
        (f"{LOG}{3:020d}.json", lambda body: body + b"\n", "not canonical"),
        (f"{LOG}{3:020d}.json", flip, "unreadable|Error"),
        (
            f"{LOG}{4:020d}.json",
            lambda body: body.replace(b'"previous_sha256":"', b'"previous_sha256":"0')[:-1],
            "Error",
        ),
        (
            "keys/retail/liferay/data-1.json",
            lambda body: body.replace(b'"wrapped":"', b'"wrapped":"AAAA'),
            "was changed",
        ),
        ("lc2-repository.json", lambda body: body.replace(b'"format":1', b'"format":2'), "format 1"),
    ],
)
def test_a_damaged_log_key_or_marker_is_refused(damaged, key, change, says):
    import re

    answer = damaged(key, change).run("list")
    assert (answer.returncode, answer.stdout) == (4, b"")
    assert re.search(says, answer.stderr.decode()), answer.stderr


@pytest.mark.parametrize("damage", ["flipped", "gone"])
@pytest.mark.parametrize("component", ["database", "database_dump"])
def test_a_damaged_part_or_manifest_is_named_and_leaves_no_file(pristine, damaged, tmp_path, component, damage):
    backup = pristine.backup(LIFERAY, component)
    name = "base.tar" if component == "database" else "manifest.json"
    key = f"backups/{LIFERAY}/{component}/{backup}/" + ("base.tar/000002" if component == "database" else name)
    sample = damaged(key, flip if damage == "flipped" else None)
    stream = "base.tar" if component == "database" else "dump.custom"
    answer = sample.run("stream", backup, stream, tmp_path / "out")
    assert answer.returncode == 4
    assert key in answer.stderr.decode()
    assert not (tmp_path / "out").exists()
    assert sample.run("verify", backup).returncode == 4


def test_a_damaged_file_is_named_and_the_others_are_restored(pristine, damaged, tmp_path):
    big = max((pristine.repository / "files/retail/liferay").rglob("*/000001"), key=lambda path: path.stat().st_size)
    sample = damaged(str(big.relative_to(pristine.repository)), flip)
    backup = sample.backup(LIFERAY, "files", index=1)
    answer = sample.run("files", backup, tmp_path / "new")
    assert answer.returncode == 6
    assert b"FAILED '20097/35202/several.txt/1.0'" in answer.stderr
    found = [path for path in (tmp_path / "new").rglob("*") if path.is_file()]
    assert len(found) == len(sample.expected["sites"][LIFERAY]["backups"][backup]["files"]) - 1


@pytest.mark.parametrize("forgery", ["unsigned", "unknown key"])
def test_a_record_that_was_appended_without_the_key_is_refused(pristine, damaged, forgery):
    records = sorted((pristine.repository / LOG).iterdir())
    last = json.loads(records[-1].read_bytes())
    forged = {
        **last,
        "sequence": len(records) + 1,
        "previous_sha256": hashlib.sha256(records[-1].read_bytes()).hexdigest(),
    }
    del forged["hmac"]
    forged["key_id"] = None if forgery == "unsigned" else "data-9"
    forged["hmac"] = None if forgery == "unsigned" else hmac.new(b"", canonical.encode(forged), "sha256").hexdigest()
    sample = damaged(f"{LOG}{len(records):020d}.json", lambda body: body)
    (sample.repository / LOG / f"{len(records) + 1:020d}.json").write_bytes(canonical.encode(forged))
    answer = sample.run("list")
    assert (answer.returncode, answer.stdout) == (4, b"")
    assert ("is not signed" if forgery == "unsigned" else "unknown key") in answer.stderr.decode()


def test_files_never_leave_their_directory(tmp_path):
    kit = load_kit()

    class Hostile:
        def entries(self, manifest):
            yield {"k": "../outside", "s": 1, "t": 0, "l": []}
            yield {"k": "/absolute", "s": 1, "t": 0, "l": []}
            yield {"k": "inside/good", "s": 1, "t": 0, "l": []}

        def content(self, entry, bundles):
            yield b"x"

    assert kit["each_file"](Hostile(), {}, tmp_path / "in", "") == kit["INCOMPLETE"]
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()] == ["in/inside/good"]


def test_a_partial_point_is_listed_as_such_and_its_lack_of_files_is_no_damage(tmp_path, capsys):
    kit = load_kit()
    row = {"component": "recovery_point", "kind": "binding", "state": "committed"}
    summary = {"restorable_until": "2026-02-03T00:00:00Z", "plain_bytes": 0}

    class Repository:
        backups: ClassVar = {
            "a": {**row, "summary": {**summary, "partial": True}},
            "b": {**row, "summary": {**summary, "partial": False}},
        }

        def manifest(self, backup_id):
            return {"component": "recovery_point", "details": {"members": {"database_dump": {"backup_id": "d"}}}}

    assert kit["act"](Repository(), Namespace(command="list")) == 0
    assert [line.split("\t")[4:] for line in capsys.readouterr().out.splitlines()] == [
        ["committed", "0", "partial"],
        ["committed", "0"],
    ]
    wish = Namespace(command="files", backup="a", directory=str(tmp_path / "new"), only="")
    with pytest.raises(Exception, match="no files") as refused:
        kit["act"](Repository(), wish)
    assert kit["failed"](refused.value) == kit["STORAGE"]


def load_kit() -> dict:
    import runpy

    import lc2_backup_dagster.repository.kit as package

    return runpy.run_path(str(Path(package.__file__).with_name("restore.py")))


FIRST, OTHER = (1 << 20) - 56, (1 << 20) - 16


@pytest.mark.parametrize(
    "size", [0, 1, FIRST - 1, FIRST, FIRST + 1, FIRST + OTHER - 1, FIRST + OTHER, FIRST + OTHER + 1]
)
def test_the_documented_cipher_opens_what_tink_sealed_at_every_boundary(size):
    import io
    import json as json_module

    from tink import json_proto_keyset_format, new_keyset_handle, secret_key_access, streaming_aead

    kit = load_kit()
    streaming_aead.register()
    handle = new_keyset_handle(streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB)
    keyset = json_module.loads(json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN))

    class Kept(io.BytesIO):
        def close(self) -> None:
            pass

    sealed, plain = Kept(), bytes(index % 251 for index in range(256)) * (size // 256 + 1)
    primitive = handle.primitive(streaming_aead.StreamingAead)
    with primitive.new_encrypting_stream(sealed, b"place") as stream:
        stream.write(plain[:size])
    key, stored = kit["tink_key"](keyset), sealed.getvalue()
    assert kit["decrypt"](stored, key, b"place") == plain[:size]
    assert kit["decrypt"](stored, key, b"elsewhere") is None
    assert kit["decrypt"](stored[:-1], key, b"place") is None
    assert kit["decrypt"](stored + b"x", key, b"place") is None
    if len(stored) > 1 << 20:  # cut at a segment's end: the last segment must say that it is the last
        assert kit["decrypt"](stored[: 1 << 20], key, b"place") is None


def test_it_runs_on_python_3_9_and_is_short():
    import ast

    for name in ("restore.py", "tree.py", "wal.py"):
        source = kit_files()[name].decode()
        ast.parse(source, feature_version=(3, 9))
        assert "lc2_backup_dagster" not in source
        assert len(source.splitlines()) < 400


def test_putting_the_kit_is_idempotent_and_never_overwrites():
    store = MemoryStore()
    names = ("FORMAT.md", "README.txt", "restore.py", "tree.py", "vectors.json", "wal.py")
    assert put_kit(store) == [f"kit/0.1.0/{name}" for name in names]
    assert put_kit(store) == []
    assert store.get("kit/0.1.0/FORMAT.md").startswith(b"# The repository format, version 1")
    store.delete(["kit/0.1.0/restore.py"])
    store.put("kit/0.1.0/README.txt", b"an older kit", create_only=False)
    assert put_kit(store) == ["kit/0.1.0/restore.py"]
    assert store.get("kit/0.1.0/README.txt") == b"an older kit"


def test_the_readme_explains_exactly_the_commands_that_exist():
    import re

    text = kit_files()["README.txt"].decode()
    used = set(re.findall(r"restore\.py (\w+)", text))
    assert used == {"list", "show", "verify", "stream", "files"}
    assert set(re.findall(r'^        "(\w+)": \(', kit_files()["restore.py"].decode(), re.MULTILINE)) == used
