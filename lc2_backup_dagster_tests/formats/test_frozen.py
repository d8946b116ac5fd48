"""Every format version that was ever released is read, byte for byte, in every run (L-26)."""

import hashlib
import json
import stat
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.store import PosixKind
from lc2_backup_dagster.engines.exports.stored import StoredExport
from lc2_backup_dagster.engines.files.contents import StoredContents
from lc2_backup_dagster.engines.files.manifest.entry import decode_entries
from lc2_backup_dagster.engines.files.verify.verify import verify_files
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.site import SiteRepository, open_site_repository
from lc2_backup_dagster_tests.formats.bucket_dump import BucketDump
from lc2_backup_dagster_tests.formats.freeze import KEY_FILE
from lc2_backup_dagster_tests.repository.kit.running import run_kit

FROZEN = sorted(Path(__file__).parent.glob("format_*"))
SITES = ["retail/liferay", "retail/drupal"]

pytestmark = pytest.mark.parametrize("frozen", FROZEN, ids=[path.name for path in FROZEN])


def expectations(frozen: Path) -> dict:
    return json.loads((frozen / "expected.json").read_text(encoding="ascii"))


def open_frozen(frozen: Path, site: str) -> SiteRepository:
    wrapper = KeyFile.read(frozen / KEY_FILE) if expectations(frozen)["sites"][site]["encrypted"] else None
    store = BucketDump(frozen / "repository")
    return open_site_repository(store, SiteId.parse(site), wrapper=wrapper, create=False)


def test_the_frozen_bytes_are_the_ones_that_were_frozen(frozen):
    """A checkout that translates line ends, or a tool that rewrites files, shows here and not as damage below."""
    store = BucketDump(frozen / "repository")
    found = {item.key: hashlib.sha256(store.get(item.key)).hexdigest() for item in store.list()}
    assert found == expectations(frozen)["objects"]


@pytest.mark.parametrize("site", SITES)
def test_our_reader_lists_every_backup(frozen, site):
    expected = expectations(frozen)["sites"][site]
    history = open_frozen(frozen, site).log.history()
    assert (history.sequence, history.head_sha256) == (expected["records"], expected["head_sha256"])
    assert {name: _told(each) for name, each in history.backups.items()} == {
        name: {key: each[key] for key in ("component", "kind", "parent", "expired")}
        for name, each in expected["backups"].items()
    }


@pytest.mark.parametrize("site", SITES)
def test_our_reader_gives_every_byte_of_archived_wal(frozen, site):
    expected = expectations(frozen)["sites"][site]["wal"]
    archive = open_frozen(frozen, site).wal(expected["system_identifier"])
    stored = [archive.stored(timeline) for timeline in archive.timelines()]
    segments = {each.name: _fact(archive.read_segment(each.name)) for listing in stored for each in listing.segments}
    partials = {
        each.name: {"end_lsn": each.end_lsn, **_fact(archive.read_partial(each.name, each.end_lsn))}
        for listing in stored
        for each in listing.partials
    }
    assert (segments, partials) == (expected["segments"], expected["partials"])
    for timeline, fact in expected["histories"].items():
        history = archive.history(int(timeline))
        assert history is not None
        assert _fact(history) == fact
    position = archive.position()
    assert position is not None
    assert {"timeline": position.timeline, "lsn": position.sample.lsn} == expected["position"]
    assert len(archive.gaps()) == 1


def _told(backup: CommittedBackup) -> dict[str, object]:
    return {
        "component": str(backup.component),
        "kind": str(backup.kind),
        "parent": backup.parent,
        "expired": backup.expired_at is not None,
    }


@pytest.mark.parametrize("site", SITES)
def test_our_reader_gives_every_byte_and_writes_nothing(frozen, site):
    repository = open_frozen(frozen, site)
    before = _stamps(frozen)
    read = 0
    for name, expected in expectations(frozen)["sites"][site]["backups"].items():
        if expected["expired"]:
            continue
        manifest = repository.manifest(name)
        for stream, fact in expected["streams"].items():
            with repository.open_stream(manifest, stream) as reader:
                assert _fact(reader.read()) == fact
            read += 1
        if documents := expected.get("documents"):
            export = StoredExport(repository, manifest)
            assert {each.path: _fact(each.content) for each in export.documents()} == documents
            assert {each.path: _fact(export.read(each)) for each in export.entries()} == documents
        if expected["files"]:
            with repository.open_stream(manifest, "files") as reader:
                entries = list(decode_entries(reader, name="files"))
            contents = StoredContents(repository)
            files = [each for each in entries if each.kind is PosixKind.FILE]
            assert {each.key: _fact(b"".join(contents.pieces(each))) for each in files} == expected["files"]
            facts = {each.key.rstrip("/"): each.posix for each in entries if each.posix is not None}
            assert {key: each.target or each.mode for key, each in facts.items()} == expected.get("tree", {})
            assert verify_files(repository, entries).damaged_count == 0
            read += len(entries)
    assert read >= 20
    assert _stamps(frozen) == before


@pytest.mark.parametrize("site", SITES)
def test_the_kit_of_today_and_the_kit_in_the_bucket_give_every_byte(frozen, site, tmp_path):
    import lc2_backup_dagster.repository.kit as package

    expected = expectations(frozen)["sites"][site]["backups"]
    scripts = {"today": Path(package.__file__).with_name("restore.py"), "then": _own_kit(frozen)}
    secret = ["--site", site, "--key-file", frozen / KEY_FILE]
    newest = {each["component"]: name for name, each in expected.items() if not each["expired"]}
    for age, script in scripts.items():
        listed = run_kit(script, "list", frozen / "repository", *secret)
        assert listed.returncode == 0, listed.stderr
        assert {line.split("\t")[0] for line in listed.stdout.decode().splitlines()} == expected.keys()
        for name in (name for name, each in expected.items() if "base.tar" in each["streams"] and not each["expired"]):
            tar = run_kit(script, "stream", frozen / "repository", name, "base.tar", "-", *secret)
            assert _fact(tar.stdout) == expected[name]["streams"]["base.tar"]
        assert run_kit(script, "verify", frozen / "repository", newest["database_dump"], *secret).returncode == 0
        target = tmp_path / age
        restored = run_kit(script, "files", frozen / "repository", newest["files"], target, *secret)
        assert restored.returncode == 0, restored.stderr
        found = {str(path.relative_to(target)): path for path in target.rglob("*") if path.is_file()}
        assert {key: _fact(path.read_bytes()) for key, path in found.items()} == expected[newest["files"]]["files"]
        for key, told in expected[newest["files"]].get("tree", {}).items():
            path = target / key
            assert told == (str(path.readlink()) if path.is_symlink() else stat.S_IMODE(path.stat().st_mode))


@pytest.mark.parametrize("site", SITES)
def test_the_kit_of_today_and_the_kit_in_the_bucket_give_archived_wal(frozen, site, tmp_path):
    import lc2_backup_dagster.repository.kit as package

    told = expectations(frozen)["sites"][site]
    expected, system = told["wal"], told["wal"]["system_identifier"]
    secret = ["--site", site, *(["--key-file", frozen / KEY_FILE] if told["encrypted"] else [])]
    size = max(fact["bytes"] for fact in expected["segments"].values())
    before = _stamps(frozen)
    for age, folder in {"today": Path(package.__file__).parent, "then": _own_kit(frozen).parent}.items():
        script, target = folder / "wal.py", tmp_path / age
        target.mkdir()
        listed = run_kit(script, "list", frozen / "repository", *secret)
        assert listed.returncode == 0, listed.stderr
        rows = [line.split("\t")[1:3] for line in listed.stdout.decode().splitlines()]
        assert [what for _, what in rows] == ["segments", "history", "partial", "missing", "position"]
        histories = {f"{int(each):08X}.history": fact for each, fact in expected["histories"].items()}
        for name, fact in {**expected["segments"], **expected["partials"], **histories}.items():
            answer = run_kit(script, "fetch", frozen / "repository", system, name, target / name, *secret)
            assert answer.returncode == 0, answer.stderr
            content = (target / name).read_bytes()
            assert _fact(content[: fact["bytes"]]) == {each: fact[each] for each in ("bytes", "sha256")}
            assert name in histories or content[fact["bytes"] :] == bytes(size - fact["bytes"])
            (target / name).unlink()  # a server moves it away, and what lies in its place is its own
        behind = f"{max(expected['partials'])[:16]}000000FF"
        absent = run_kit(script, "fetch", frozen / "repository", system, behind, target / "absent", *secret)
        assert (absent.returncode, absent.stderr) == (1, b"")
    assert _stamps(frozen) == before


def _own_kit(frozen: Path) -> Path:
    return next((frozen / "repository/kit").rglob("restore.py"))


def _fact(content: bytes) -> dict[str, object]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _stamps(frozen: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in frozen.rglob("*") if path.is_file()}
