"""The life of a backup in a repository: begin, write, commit, fence, read back, kill at every write."""

import os
from datetime import timedelta
from io import BytesIO

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.model.errors import (
    ComponentBusy,
    ConfigurationError,
    Fenced,
    IntegrityError,
    LogCorrupt,
    ManifestCorrupt,
    PartCorrupt,
    PartMissing,
    RecoveryPointNotFound,
    StoreUnavailable,
    WrongKey,
)
from lc2_backup_dagster.model.site import Component, SiteId
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.lease import LEASE_SECONDS
from lc2_backup_dagster.repository.record import Initiator, RecordType, encode_record
from lc2_backup_dagster_tests.builders import TESTER, a_backup, a_draft, a_repository
from lc2_backup_dagster_tests.fakes import DyingStore, Killed, SetClock

CONTENT = os.urandom(5_000_000) + b"text " * 4_000_000  # three parts, incompressible and compressible


def test_a_committed_stream_reads_back_byte_for_byte(store, site, key, clock):
    repository = a_repository(store, site, wrapper=key, clock=clock)
    backup = a_backup(repository, CONTENT)
    again = a_repository(store, site, wrapper=key, clock=clock, create=False)
    manifest = again.manifest(backup.backup_id)
    with again.open_stream(manifest, "base.tar") as reader:
        assert reader.read() == CONTENT
    assert len(manifest.streams["base.tar"]) == 3
    assert manifest.encryption is not None


def test_nothing_of_the_content_is_readable_in_the_bucket(store, site, key, clock):
    a_backup(a_repository(store, site, wrapper=key, clock=clock), b"the secret words " * 1000)
    assert not any(b"the secret words" in body for body, _ in store.objects.values())


def test_without_encryption_the_parts_are_plain_zstd(store, site, clock):
    repository = a_repository(store, site, wrapper=None, clock=clock)
    backup = a_backup(repository, CONTENT)
    manifest = repository.manifest(backup.backup_id)
    assert manifest.encryption is None
    with repository.open_stream(manifest, "base.tar") as reader:
        assert reader.read() == CONTENT


def test_an_empty_stream_is_one_empty_part(store, site, key, clock):
    repository = a_repository(store, site, wrapper=key, clock=clock)
    manifest = repository.manifest(a_backup(repository, b"").backup_id)
    assert manifest.stream("base.tar").plain_bytes == 0
    with repository.open_stream(manifest, "base.tar") as reader:
        assert reader.read() == b""


def test_a_wrong_key_is_named_before_anything_is_written(store, site, key, clock, tmp_path):
    a_backup(a_repository(store, site, wrapper=key, clock=clock))
    before = dict(store.objects)
    other = KeyFile.create(tmp_path / "other.key")
    with pytest.raises(WrongKey, match=r"wrong key for site retail/liferay.*other\.key"):
        a_repository(store, site, wrapper=other, clock=clock)
    assert store.objects == before


def test_a_reader_makes_nothing(store, site, key, clock):
    with pytest.raises(RecoveryPointNotFound, match="holds no repository"):
        a_repository(store, site, wrapper=key, clock=clock, create=False)
    assert store.objects == {}


def test_a_log_without_its_marker_is_not_taken_for_an_empty_bucket(store, site, key, clock):
    a_backup(a_repository(store, site, wrapper=key, clock=clock))
    store.delete([layout.MARKER])
    with pytest.raises(LogCorrupt, match="commit log but no lc2-repository"):
        a_repository(store, site, wrapper=key, clock=clock)


@pytest.mark.parametrize("damage", ["flip", "cut", "swap", "gone"])
def test_every_damage_to_a_part_is_caught_and_named(store, site, key, clock, damage):
    repository = a_repository(store, site, wrapper=key, clock=clock)
    manifest = repository.manifest(a_backup(repository, CONTENT).backup_id)
    prefix = layout.backup_prefix(site, Component.DATABASE, manifest.backup_id)
    first, second = (layout.part_key(prefix, "base.tar", number) for number in (0, 1))
    body, info = store.objects[second]
    if damage == "flip":
        store.objects[second] = (body[:100] + bytes([body[100] ^ 1]) + body[101:], info)
    elif damage == "cut":
        store.objects[second] = (body[:-1], info)
    elif damage == "swap":
        store.objects[second] = store.objects[first]
    else:
        del store.objects[second]
    with (
        pytest.raises(PartMissing if damage == "gone" else PartCorrupt, match="base.tar/000001"),
        repository.open_stream(manifest, "base.tar") as reader,
    ):
        reader.read()


def test_a_part_moved_to_another_place_does_not_open(store, site, key, clock):
    repository = a_repository(store, site, wrapper=key, clock=clock)
    backup = a_backup(repository, b"one")
    stored = store.get(layout.part_key(layout.backup_prefix(site, Component.DATABASE, backup.backup_id), "base.tar", 0))
    with pytest.raises(PartCorrupt):
        repository.sealer.unseal(stored, key="backups/elsewhere", key_id="data-1")


def test_a_changed_manifest_is_refused(store, site, key, clock):
    repository = a_repository(store, site, wrapper=key, clock=clock)
    backup = a_backup(repository)
    name = layout.manifest_key(site, Component.DATABASE, backup.backup_id)
    body, info = store.objects[name]
    store.objects[name] = (body.replace(b'"window":"2026-11-23-02:00"', b'"window":"2026-11-22-02:00"'), info)
    with pytest.raises(ManifestCorrupt, match="not the manifest that the log names"):
        repository.manifest(backup.backup_id)


@pytest.mark.parametrize("damage", ["flip", "gone", "forge"])
def test_a_damaged_log_is_reported_and_never_skipped(store, site, key, clock, damage):
    repository = a_repository(store, site, wrapper=key, clock=clock)
    a_backup(repository)
    a_backup(repository)
    name = layout.log_key(site, 2)
    body, info = store.objects[name]
    if damage == "gone":
        del store.objects[name]
    elif damage == "flip":
        store.objects[name] = (body.replace(b"tester", b"nobody"), info)
    else:  # the last record has no successor whose chain would tell; its HMAC does
        name = layout.log_key(site, 4)
        body, info = store.objects[name]
        store.objects[name] = (body.replace(b"tester", b"nobody"), info)
    with pytest.raises(LogCorrupt, match="record [24]"):
        a_repository(store, site, wrapper=key, clock=clock).backups()


def test_leaving_an_attempt_by_an_error_ends_it_and_lists_nothing(store, site, key, clock):
    repository = a_repository(store, site, wrapper=key, clock=clock)
    with (
        pytest.raises(ValueError, match="producer broke"),
        repository.begin(Component.DATABASE, window=None, initiator=TESTER) as attempt,
    ):
        attempt.write_stream("base.tar", _Broken())
    assert repository.backups() == []
    assert [record.type for record in repository.log.records()] == [RecordType.BEGIN, RecordType.ABORT]
    assert not list(store.list("heartbeats/"))
    a_backup(repository)


class _Broken:
    def __init__(self) -> None:
        self.left = 3

    def read(self, size: int, /) -> bytes:
        self.left -= 1
        if self.left == 0:
            raise ValueError("producer broke")
        return b"x" * size


def test_a_second_attempt_is_told_who_holds_the_component(store, site, key, clock):
    repository = a_repository(store, site, wrapper=key, clock=clock)
    other = a_repository(store, site, wrapper=key, clock=clock)
    beats = []

    def sleep(seconds: float) -> None:  # time passes, and the holder beats
        clock.move(seconds=seconds)
        beats.append(seconds)
        held._heartbeat._beat()

    with repository.begin(Component.DATABASE, window=None, initiator=Initiator("alice", "ui", "run-1")) as held:
        with (
            pytest.raises(ComponentBusy, match=r"held by attempt .* of alice \(ui, run run-1"),
            other.begin(Component.DATABASE, window=None, initiator=TESTER, sleep=sleep),
        ):
            pass
        with other.begin(Component.FILES, window=None, initiator=TESTER) as files:  # another component is free
            files.commit(a_draft())
        held.commit(a_draft())
    assert len(beats) == 1
    assert [each.component for each in repository.backups()] == [Component.FILES, Component.DATABASE]


def test_a_silent_attempt_is_superseded_and_its_late_commit_refused(store, site, key, clock):
    repository = a_repository(store, site, wrapper=key, clock=clock)
    other = a_repository(store, site, wrapper=key, clock=clock)
    zombie = repository.begin(Component.DATABASE, window=None, initiator=TESTER).__enter__()
    clock.move(seconds=LEASE_SECONDS + 1)
    with other.begin(Component.DATABASE, window=None, initiator=TESTER) as attempt:
        assert attempt.resumes == (zombie.backup_id,)
        with pytest.raises(Fenced, match="superseded by"):
            zombie.check_alive()
        winner = attempt.commit(a_draft())
    with pytest.raises(Fenced, match="superseded by"):
        zombie.commit(a_draft())
    zombie.__exit__(None, None, None)
    assert [each.backup_id for each in repository.backups()] == [winner.backup_id]


def test_a_base_that_was_purged_since_begin_refuses_the_commit(store, site, key, clock):
    repository = a_repository(store, site, wrapper=key, clock=clock)
    base = a_backup(repository, component=Component.FILES)
    with repository.begin(Component.FILES, window=None, initiator=TESTER, bases=[base.backup_id]) as attempt:
        ids = {"backup_ids": [base.backup_id]}
        repository.tell(RecordType.EXPIRE, initiator=TESTER, body=ids)
        repository.tell(RecordType.PURGE, initiator=TESTER, body=ids)
        with pytest.raises(Fenced, match="were purged"):
            attempt.commit(a_draft())
    with pytest.raises(RecoveryPointNotFound, match="does not exist"):
        repository.manifest(base.backup_id)


def test_killed_at_any_write_a_reader_never_sees_a_false_backup(site, key):
    """L-25: the process dies before every single write in turn; then another one takes over and succeeds."""
    total = _writes_of_a_whole_backup(site, key)
    assert total >= 6  # marker, data key, heartbeat, begin, part, manifest, commit
    for survived in range(total):
        clock = SetClock()
        store = DyingStore(clock)
        store.writes_left = survived
        with pytest.raises(Killed):
            a_backup(a_repository(store, site, wrapper=key, clock=clock))
        store.revive()
        clock.move(seconds=LEASE_SECONDS + 1)
        repository = a_repository(store, site, wrapper=key, clock=clock)
        assert repository.backups() == [], f"killed after {survived} writes, yet a backup is listed"
        backup = a_backup(repository)
        with repository.open_stream(repository.manifest(backup.backup_id), "base.tar") as reader:
            assert reader.read() == b"content"


def _writes_of_a_whole_backup(site: SiteId, key: KeyFile) -> int:
    clock = SetClock()
    store = DyingStore(clock)
    a_backup(a_repository(store, site, wrapper=key, clock=clock))
    return store.writes


def test_many_writers_append_without_losing_a_record(store, site, key, clock):
    import threading

    repositories = [a_repository(store, site, wrapper=key, clock=clock) for _ in range(6)]
    threads = [
        threading.Thread(
            target=lambda each: [each.tell(RecordType.REFUSE, initiator=TESTER, body={"n": n}) for n in range(10)],
            args=(each,),
        )
        for each in repositories
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = list(a_repository(store, site, wrapper=key, clock=clock).log.records())
    assert [record.sequence for record in records] == list(range(1, 61))


def test_a_store_that_gives_back_other_bytes_fails_the_backup_before_its_commit(store, site, key, clock):
    """L-21: what was written is read back and decoded before the commit."""
    repository = a_repository(store, site, wrapper=key, clock=clock)
    original = store.get

    def lying(name: str, **kwargs: object) -> bytes:
        body = original(name, **kwargs)
        return body[:-1] + bytes([body[-1] ^ 1]) if "base.tar" in name else body

    store.get = lying
    with (
        pytest.raises(IntegrityError, match="other bytes than were sent"),
        repository.begin(Component.DATABASE, window=None, initiator=TESTER) as attempt,
    ):
        attempt.write_stream("base.tar", BytesIO(b"content"))
    store.get = original
    assert repository.backups() == []


def test_the_lease_is_judged_by_the_clock_of_the_store_only(store, site, key, clock):
    """L-24: this machine's clock is an hour off; the store's is not."""
    fast = SetClock(clock.now() + timedelta(hours=1))
    repository = a_repository(store, site, wrapper=key, clock=clock)
    other = a_repository(store, site, wrapper=key, clock=fast)
    with repository.begin(Component.DATABASE, window=None, initiator=TESTER) as held:
        with (
            pytest.raises(ComponentBusy),
            other.begin(
                Component.DATABASE,
                window=None,
                initiator=TESTER,
                sleep=lambda seconds: (clock.move(seconds=1), held._heartbeat._beat()),
            ),
        ):
            pass
        held.commit(a_draft())


def test_a_forged_unsigned_record_is_refused_where_records_are_signed(store, site, key, clock):
    """Whoever can write the bucket, but has no key, must not be able to expire backups."""
    repository = a_repository(store, site, wrapper=key, clock=clock)
    backup = a_backup(repository)
    head = repository.log.history()
    forged = encode_record(
        repository_id=repository.repository_id,
        site=str(site),
        sequence=head.sequence + 1,
        type=RecordType.EXPIRE,
        time="2026-11-23T02:00:00.000000Z",
        initiator=TESTER,
        body={"backup_ids": [backup.backup_id]},
        previous_sha256=head.head_sha256,
        key_id=None,
        log_keys={},
    )
    store.put(layout.log_key(site, head.sequence + 1), forged)
    with pytest.raises(LogCorrupt, match="is not signed"):
        a_repository(store, site, wrapper=key, clock=clock).backups()


def test_what_was_written_before_encryption_was_turned_on_still_opens(store, site, key, clock):
    earlier = a_backup(a_repository(store, site, wrapper=None, clock=clock), b"plain")
    repository = a_repository(store, site, wrapper=key, clock=clock)
    later = a_backup(repository, b"sealed")
    for backup, content in ((earlier, b"plain"), (later, b"sealed")):
        with repository.open_stream(repository.manifest(backup.backup_id), "base.tar") as reader:
            assert reader.read() == content
    with pytest.raises(ConfigurationError, match="encryption is turned off"):
        a_repository(store, site, wrapper=None, clock=clock)


def test_names_that_are_not_utf8_do_not_break_a_commit(store, site, key, clock):
    repository = a_repository(store, site, wrapper=key, clock=clock)
    name = b"caf\xe9".decode(errors="surrogateescape")
    backup = a_backup(repository, details={"unreadable": [[name, "refused"]]})
    assert repository.manifest(backup.backup_id).details["unreadable"] == [[name, "refused"]]


def test_a_wrong_key_writes_nothing_even_where_the_kit_is_incomplete(store, site, key, clock, tmp_path):
    a_backup(a_repository(store, site, wrapper=key, clock=clock))
    store.delete([f"{layout.kit_prefix()}README.txt"])
    before = dict(store.objects)
    with pytest.raises(WrongKey):
        a_repository(store, site, wrapper=KeyFile.create(tmp_path / "other.key"), clock=clock)
    assert store.objects == before


def test_lost_data_keys_are_not_replaced_by_new_ones(store, site, key, clock):
    a_backup(a_repository(store, site, wrapper=key, clock=clock))
    store.delete([f"{layout.keys_prefix(site)}data-1.json"])
    before = dict(store.objects)
    with pytest.raises(ManifestCorrupt, match=r"data keys of site retail/liferay are gone.*older versions"):
        a_repository(store, site, wrapper=key, clock=clock)
    assert store.objects == before


def test_a_store_that_goes_away_right_after_the_commit_does_not_hide_it(store, site, key, clock):
    repository = a_repository(store, site, wrapper=key, clock=clock)
    with repository.begin(Component.DATABASE, window=None, initiator=TESTER) as attempt:
        listing, original = store.list, store.put

        def put_then_away(name: str, body: bytes, **kwargs: object) -> object:
            written = original(name, body, **kwargs)
            if name.startswith("log/"):
                store.list = _away
            return written

        store.put = put_then_away
        backup = attempt.commit(a_draft())
        assert attempt.manifest is not None
        store.list = listing
    assert [each.backup_id for each in repository.backups()] == [backup.backup_id]


def _away(*args: object, **kwargs: object) -> object:
    raise StoreUnavailable("the store is away")


def test_a_base_that_expires_while_an_attempt_stands_on_it_fences_the_commit(store, site, key, clock):
    repository = a_repository(store, site, wrapper=key, clock=clock)
    base = a_backup(repository)
    with repository.begin(Component.DATABASE, window=None, initiator=TESTER, bases=[base.backup_id]) as attempt:
        repository.tell(RecordType.EXPIRE, initiator=TESTER, body={"backup_ids": [base.backup_id]})
        with pytest.raises(Fenced, match="expired or were purged"):
            attempt.commit(a_draft())
    assert repository.backups() == []


def test_a_record_that_contradicts_the_log_is_refused_before_it_is_written(store, site, key, clock):
    repository = a_repository(store, site, wrapper=key, clock=clock)
    kept, gone = a_backup(repository).backup_id, a_backup(repository).backup_id
    repository.tell(RecordType.EXPIRE, initiator=TESTER, body={"backup_ids": [gone]})
    repository.tell(RecordType.PURGE, initiator=TESTER, body={"backup_ids": [gone]})
    before = repository.log.history().sequence
    for body in ({"backup_ids": [gone]}, {"backup_ids": ["never-was"]}, {"backups": []}):
        with pytest.raises(ConfigurationError, match="is refused: .* contradicts the log"):
            repository.tell(RecordType.UNDELETE, initiator=TESTER, body=body)
    assert repository.log.history().sequence == before
    again = a_repository(store, site, wrapper=key, clock=clock, create=False)
    assert [each.backup_id for each in again.backups()] == [kept]
    a_backup(repository)
