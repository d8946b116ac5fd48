"""Verifying database backups: what they stand on, PostgreSQL's own checksums, archived WAL."""

from datetime import timedelta

import pytest

from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.operations.capture.frame import CaptureFrame
from lc2_backup_dagster.operations.verify.verify import verify_backup
from lc2_backup_dagster.repository.layout import backup_prefix, wal_segment_key, wal_system_prefix
from lc2_backup_dagster_tests.operations.fixtures_chains import ChainSite, archived_until, receiving


def flip(site: ChainSite, key: str) -> None:
    file = site.site.bucket / key
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)


def test_an_increment_is_verified_with_everything_it_stands_on_each_once(chain_site: ChainSite):
    made = [chain_site.capture() for _ in range(3)]
    ids = [each.backup.backup_id for each in made]
    found = verify_backup(chain_site.site.context, ids[2])
    assert [each.backup.backup_id for each in found] == [ids[2], ids[1], ids[0]]
    assert [each.damages for each in found] == [(), (), ()]
    key = f"{backup_prefix(chain_site.site.repository.site, Component.DATABASE, ids[0])}base.tar/000001"
    flip(chain_site, key)
    *increments, full = verify_backup(chain_site.site.context, ids[2])
    assert all(each.damages == () for each in increments)
    assert [damage.key for damage in full.damages] == [key]


def test_deep_and_shallow_look_at_the_same_objects(chain_site: ChainSite):
    backup = chain_site.capture().backup.backup_id
    [deep] = verify_backup(chain_site.site.context, backup)
    [shallow] = verify_backup(chain_site.site.context, backup, deep=False)
    assert (deep.objects, deep.stored_bytes) == (shallow.objects, shallow.stored_bytes)


MARK, CHANGED = b"the text that was on the server", b"the text that was on the sErver"


class Falsifying:
    """A source in which one text is another: damage before the bytes reach a part, so every SHA-256 fits it."""

    def __init__(self, source) -> None:
        self._source = source

    def read(self, size: int, /) -> bytes:
        return self._source.read(size).replace(MARK, CHANGED)


def test_what_went_wrong_before_the_first_part_is_found_by_the_servers_own_checksums(
    chain_site: ChainSite, monkeypatch: pytest.MonkeyPatch
):
    chain_site.postgres.execute(f"INSERT INTO entries VALUES (1, '{MARK.decode()}')", database="ledger")
    honest = CaptureFrame.writer

    def falsified(frame, attempt):
        write = honest(frame, attempt)
        return lambda name, source: write(name, Falsifying(source) if name == "base.tar" else source)

    monkeypatch.setattr(CaptureFrame, "writer", falsified)
    backup = chain_site.capture().backup.backup_id
    [shallow] = verify_backup(chain_site.site.context, backup, deep=False)
    assert shallow.damages == ()
    [deep] = verify_backup(chain_site.site.context, backup)
    # Its heap file, and a WAL segment that nobody sums up.
    [damage] = deep.damages
    assert "base.tar" in damage.key
    assert "has other content than the server's manifest promises (CRC32C)" in damage.reason


def test_a_promise_is_verified_by_reading_every_segment_and_its_base(chain_site: ChainSite):
    site = chain_site.changed(database__wal__enabled=True, database__wal__partialSeconds=1)
    with receiving(site):
        base = site.capture()
        site.write(1)
        site.postgres.execute("SELECT pg_switch_wal()")
        window = Window.around(archived_until(site), length=WindowLength.HOURLY)
        promised = site.capture(window, asked_at=window.end + timedelta(minutes=1))
    assert promised.backup.kind is BackupKind.WAL
    first, second = verify_backup(site.site.context, promised.backup.backup_id)
    assert (first.damages, second.damages) == ((), ())
    assert second.backup.backup_id == base.backup.backup_id
    told = promised.manifest.details
    assert first.objects == told["wal"]["segments"]
    prefix = wal_system_prefix(site.site.repository.site, told["system_identifier"])
    flip(site, wal_segment_key(prefix, told["wal"]["first_segment"]))
    first, _ = verify_backup(site.site.context, promised.backup.backup_id)
    assert [told["wal"]["first_segment"] in damage.key for damage in first.damages] == [True]
