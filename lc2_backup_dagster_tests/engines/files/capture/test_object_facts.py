"""What a store says of an object beside its bytes: type, metadata, tags, headers; through a backup and back."""

import pytest

from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.engines.files.manifest.entry import Protection
from lc2_backup_dagster_tests.engines.files.library import Library
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock

FACTS = {
    "content_type": "text/html",
    "metadata": {"owner": "Ärger"},
    "tags": {"class": "public", "team": "web & more"},
    "headers": {"content-encoding": "gzip", "cache-control": "max-age=60", "content-disposition": "inline"},
}


def put(store, key: str, body: bytes) -> None:
    store.put_stream(key, [body], size_bytes=len(body), **FACTS)


@pytest.mark.parametrize("protection", list(Protection))
def test_tags_and_headers_of_an_s3_object_come_back(
    s3_store: S3Store, key: KeyFile, clock: SetClock, protection: Protection, tmp_path
) -> None:
    from lc2_backup_dagster.clouds.prefixed import PrefixedStore

    source, repository, target = (PrefixedStore(s3_store, f"{name}/") for name in ("source", "repository", "target"))
    put(source, "small", b"<p>")
    put(source, "large", bytes(3 << 20))
    library = Library(source, repository, key=key, clock=clock, protection_of=lambda key: protection, scratch=tmp_path)
    backup = library.capture()
    told = {entry.key: entry for entry in library.entries(backup)}
    assert all((each.tags, each.headers) == (FACTS["tags"], FACTS["headers"]) for each in told.values())
    library.restore(backup, target)
    for name in ("small", "large"):
        found = target.stat(name)
        assert {fact: getattr(found, fact) for fact in FACTS} == FACTS


def test_an_object_without_tags_and_headers_has_a_line_without_them(library: Library, source: MemoryStore) -> None:
    source.put("plain", b"1")
    [entry] = library.entries(library.capture())
    assert entry.line is not None
    assert b'"g"' not in entry.line
    assert b'"d"' not in entry.line


def test_what_the_stores_throttled_is_counted(library: Library, source: MemoryStore) -> None:
    source.put("plain", b"1")
    library.capture()
    assert (library.done.throttling.requests, library.done.throttling.seconds) == (0, 0.0)
