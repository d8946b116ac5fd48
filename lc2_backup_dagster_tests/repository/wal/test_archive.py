"""The archive of one system's WAL: create-only, proven, never half seen; in memory, in directories, on S3."""

import os
import threading
from datetime import UTC, datetime, timedelta

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.clouds.store import StoreCapabilities
from lc2_backup_dagster.model.clock import SystemClock
from lc2_backup_dagster.model.errors import PartCorrupt, PartMissing, StoreUnavailable, WalDiverged
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository.wal.header import Sample, WalGap
from lc2_backup_dagster_tests.builders import a_repository
from lc2_backup_dagster_tests.fakes import MemoryStore
from lc2_backup_dagster_tests.repository.wal.listings import SEGMENT, a_name, at

SYSTEM = "7500000000000000001"
SITE = SiteId("retail", "liferay")
TIME = datetime(2026, 11, 23, 2, 0, 0, 123456, tzinfo=UTC)
CONTENT = os.urandom(SEGMENT // 2) + b"\0" * (SEGMENT // 2)
OTHER = CONTENT[:-1] + b"\1"


def samples(*seconds: int) -> list[Sample]:
    return [Sample(at(3, 100 + each), TIME + timedelta(seconds=each)) for each in seconds]


class UnorderedStore(MemoryStore):
    """Lists in no order, as a store may, and in pages that nobody sees."""

    capabilities = StoreCapabilities(ordered_listing=False, server_side_copy=True, user_metadata=True)

    def list(self, prefix="", *, start_after=None):
        found = list(super().list(prefix, start_after=start_after))
        yield from found[1::2]
        yield from reversed(found[::2])


@pytest.fixture(params=["memory", "unordered", "directory", "s3"])
def store(request, tmp_path):
    if request.param == "s3":
        return request.getfixturevalue("s3_store")
    if request.param == "directory":
        return DirectoryStore(tmp_path / "repository", create=True)
    return MemoryStore() if request.param == "memory" else UnorderedStore()


@pytest.fixture(params=["encrypted", "plain"])
def repository(request, store, tmp_path):
    wrapper = KeyFile.create(tmp_path / "key") if request.param == "encrypted" else None
    return a_repository(store, SITE, wrapper=wrapper, clock=SystemClock())


@pytest.fixture
def archive(repository):
    return repository.wal(SYSTEM)


@pytest.fixture
def sealed(tmp_path):
    """An encrypted repository in memory."""
    return a_repository(MemoryStore(), SITE, wrapper=KeyFile.create(tmp_path / "key"), clock=SystemClock())


def key_of(name: str, *, system: str = SYSTEM) -> str:
    return f"wal/retail/liferay/{system}/{name[:8]}/{name}"


def test_a_segment_comes_back_with_its_samples(archive, repository):
    name = a_name(1, 3)
    archive.put_segment(name, CONTENT, samples=samples(1, 2, 3))
    assert archive.read_segment(name) == CONTENT
    header = archive.header(name)
    assert header.samples == tuple(samples(1, 3))
    assert (header.plain_bytes, header.key_id) == (SEGMENT, repository.sealer.key_id)
    (stored,) = archive.segments(1)
    assert (stored.name, stored.stored_bytes) == (name, repository.store.stat(key_of(name)).size_bytes)


def test_the_same_segment_may_be_put_again_and_another_one_diverges(archive, repository):
    name = a_name(1, 3)
    archive.put_segment(name, CONTENT, samples=samples(1))
    body = repository.store.get(key_of(name))
    archive.put_segment(name, CONTENT)
    with pytest.raises(WalDiverged, match=name):
        archive.put_segment(name, OTHER)
    assert repository.store.get(key_of(name)) == body


def test_the_beginning_of_a_segment_is_no_segment(archive):
    name = a_name(1, 3)
    archive.put_partial(name, end_lsn=at(3, 500), plain=CONTENT[:500], samples=samples(1))
    archive.put_partial(name, end_lsn=at(3, 900), plain=CONTENT[:900])
    assert list(archive.segments(1)) == []
    assert [(each.name, each.end_lsn) for each in archive.partials(1)] == [(name, at(3, 500)), (name, at(3, 900))]
    assert archive.read_partial(name, at(3, 900)) == CONTENT[:900]
    assert archive.partial_header(name, at(3, 500)).samples == tuple(samples(1))
    with pytest.raises(PartMissing):
        archive.read_segment(name)
    with pytest.raises(WalDiverged):
        archive.put_partial(name, end_lsn=at(3, 900), plain=OTHER[1:901])


def test_dropped_beginnings_are_gone_and_a_reader_with_an_old_listing_gets_the_whole_ones(archive):
    name = a_name(1, 3)
    for length in (300, 500, 900):
        archive.put_partial(name, end_lsn=at(3, length), plain=CONTENT[:length])
    archive.drop_partials(name, below=at(3, 900))
    assert [each.end_lsn for each in archive.partials(1)] == [at(3, 900)]
    # A reader whose listing is older than that gets what it listed out of the longer one.
    assert archive.read_partial(name, at(3, 500)) == CONTENT[:500]
    assert archive.partial_header(name, at(3, 500)) == archive.partial_header(name, at(3, 900))
    with pytest.raises(PartMissing):
        archive.read_partial(name, at(3, 950))
    archive.put_segment(name, CONTENT, samples=samples(2))
    archive.drop_partials(name)
    assert archive.partials(1) == []
    assert archive.read_partial(name, at(3, 900)) == CONTENT[:900]
    assert archive.partial_header(name, at(3, 900)).samples == tuple(samples(2))
    archive.drop_partials(name)  # nothing there: no error


def test_histories_timelines_and_systems_are_found(archive, repository):
    assert (archive.timelines(), archive.history(2), repository.wal_systems()) == ([], None, [])
    archive.put_segment(a_name(1, 3), CONTENT)
    archive.put_history(2, b"1\t0/5000028\tx\n")
    archive.put_partial(a_name(11, 5), end_lsn=at(5, 10), plain=CONTENT[:10])
    archive.put_position(samples(1)[0], 1)
    archive.put_gap(WalGap(1, at(1), at(2)))
    repository.wal("75").put_segment(a_name(3, 1), CONTENT)
    assert archive.timelines() == [1, 2, 11]
    assert archive.history(2) == b"1\t0/5000028\tx\n"
    assert repository.wal_systems() == sorted([SYSTEM, "75"])
    archive.put_history(2, b"1\t0/5000028\tx\n")
    with pytest.raises(WalDiverged, match="the history of timeline 2"):
        archive.put_history(2, b"1\t0/6000000\tx\n")


def test_the_position_is_overwritten_and_gaps_are_kept(archive):
    assert (archive.position(), archive.gaps()) == (None, [])
    for sample in samples(1, 2):
        archive.put_position(sample, 4)
    found = archive.position()
    assert (found.timeline, found.sample) == (4, samples(2)[0])
    gaps = [WalGap(1, at(1), at(2)), WalGap(2, at(5), at(9))]
    for gap in (*gaps, gaps[0]):
        archive.put_gap(gap)
    assert archive.gaps() == gaps


def test_more_segments_than_a_page_of_a_listing_are_listed_in_order(tmp_path):
    """L-7: S3 lists 1,000 at once; the store here gives them in no order at all."""
    store = UnorderedStore()
    archive = a_repository(store, SITE, wrapper=None, clock=SystemClock()).wal(SYSTEM)
    names = [a_name(1, number) for number in range(2600)]
    for name in names:
        store.put(key_of(name), b"")
    assert [each.name for each in archive.segments(1)] == names
    assert [each.name for each in archive.stored(1, start_after=names[2500]).segments] == names[2501:]


def test_2600_segments_on_s3_are_listed_in_order(s3_store):
    from concurrent.futures import ThreadPoolExecutor

    archive = a_repository(s3_store, SITE, wrapper=None, clock=SystemClock()).wal(SYSTEM)
    names = [a_name(1, number) for number in range(2600)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: s3_store.put(key_of(name), b"x"), names))
    s3_store.put(f"{key_of(names[2599])}.partial/0000000000000001", b"x")
    assert [each.name for each in archive.segments(1)] == names
    assert archive.timelines() == [1]


def test_changed_bytes_are_refused_wherever_they_are(archive, repository):
    name = a_name(1, 3)
    archive.put_segment(name, CONTENT, samples=samples(1))
    body = bytearray(repository.store.get(key_of(name)))
    for place in (len(body) - 1, body.index(b"\n") + 5):
        changed = bytearray(body)
        changed[place] ^= 1
        repository.store.put(key_of(name), bytes(changed), create_only=False)
        with pytest.raises(PartCorrupt, match=name):
            archive.read_segment(name)
    for cut in (len(body) - 1, body.index(b"\n"), 10, 0):
        repository.store.put(key_of(name), bytes(body[:cut]), create_only=False)
        with pytest.raises(PartCorrupt, match=name):
            archive.read_segment(name)


def test_without_the_key_neither_samples_nor_position_can_be_forged(sealed):
    archive, store = sealed.wal(SYSTEM), sealed.store
    archive.put_segment(a_name(1, 3), CONTENT, samples=samples(1))
    archive.put_position(samples(1)[0], 1)
    for key, read in (
        (key_of(a_name(1, 3)), lambda: archive.header(a_name(1, 3))),
        (f"wal/retail/liferay/{SYSTEM}/position.json", archive.position),
    ):
        body = store.get(key)
        forged = body.replace(b"2026-11-23T02:00:01", b"2026-11-23T09:00:01")
        assert forged != body
        store.put(key, forged, create_only=False)
        with pytest.raises(PartCorrupt, match="wrong HMAC"):
            read()


def test_an_unsealed_segment_is_refused_where_the_site_is_encrypted(sealed):
    """Whoever can write the bucket could otherwise put any WAL there."""
    plain = a_repository(MemoryStore(), SITE, wrapper=None, clock=SystemClock())
    plain.wal(SYSTEM).put_segment(a_name(1, 3), CONTENT)
    sealed.store.put(key_of(a_name(1, 3)), plain.store.get(key_of(a_name(1, 3))))
    with pytest.raises(PartCorrupt, match="neither encrypted nor signed"):
        sealed.wal(SYSTEM).read_segment(a_name(1, 3))
    with pytest.raises(PartCorrupt, match="neither encrypted nor signed"):
        sealed.wal(SYSTEM).put_segment(a_name(1, 3), CONTENT)


def test_a_moved_segment_is_refused(sealed):
    archive = sealed.wal(SYSTEM)
    archive.put_segment(a_name(1, 3), CONTENT)
    sealed.store.put(key_of(a_name(1, 4)), sealed.store.get(key_of(a_name(1, 3))))
    with pytest.raises(PartCorrupt, match="wrong HMAC"):
        archive.read_segment(a_name(1, 4))


def test_content_is_not_readable_in_the_bucket(sealed):
    sealed.wal(SYSTEM).put_segment(a_name(1, 3), b"the secret words " * 1000)
    assert not any(b"the secret words" in body for body, _ in sealed.store.objects.values())


def test_a_writer_learns_of_other_content_before_it_goes_on(sealed):
    """At the create, not only at the proof: nothing of this history may be created behind it."""
    archive = sealed.wal(SYSTEM)
    archive.put_segment(a_name(1, 3), OTHER)
    upload = archive.segment_upload(a_name(1, 3), CONTENT)
    upload.seal()
    with pytest.raises(WalDiverged):
        upload.create()


class LyingStore(MemoryStore):
    """Keeps other bytes of WAL than it was given."""

    def _write(self, key, body, *rest):
        return super()._write(key, body[:-1] + b"?" if key.startswith("wal/") else body, *rest)


def test_what_the_store_gives_back_is_compared(tmp_path):
    archive = a_repository(LyingStore(), SITE, wrapper=None, clock=SystemClock()).wal(SYSTEM)
    with pytest.raises(PartCorrupt, match="other bytes than were sent"):
        archive.put_segment(a_name(1, 3), CONTENT)
    with pytest.raises(PartCorrupt, match="other bytes than were sent"):
        archive.put_position(samples(1)[0], 1)


class ClumsyStore(MemoryStore):
    """Damages the first write of each key, and may then be away for a while."""

    def __init__(self, away: int = 0) -> None:
        super().__init__()
        self.touched: set[str] = set()
        self.away = away

    def _write(self, key, body, *rest):
        if key.startswith("wal/") and key not in self.touched:
            self.touched.add(key)
            return super()._write(key, body[:-1] + b"?", *rest)
        if key.startswith("wal/") and self.away:
            self.away -= 1
            raise StoreUnavailable("the store is away")
        return super()._write(key, body, *rest)


def test_a_segment_that_was_damaged_while_it_was_stored_is_replaced(tmp_path):
    archive = a_repository(ClumsyStore(), SITE, wrapper=KeyFile.create(tmp_path / "k"), clock=SystemClock()).wal(SYSTEM)
    archive.put_segment(a_name(1, 3), CONTENT)
    assert archive.read_segment(a_name(1, 3)) == CONTENT


def test_a_replacement_that_broke_off_goes_on(tmp_path):
    archive = a_repository(ClumsyStore(away=2), SITE, wrapper=None, clock=SystemClock()).wal(SYSTEM)
    upload = archive.segment_upload(a_name(1, 3), CONTENT)
    upload.seal()
    upload.create()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            upload.prove()
    upload.prove()
    assert archive.read_segment(a_name(1, 3)) == CONTENT


def test_a_damaged_segment_of_an_earlier_receiver_is_replaced_only_when_its_header_names_the_same_content(sealed):
    archive, store = sealed.wal(SYSTEM), sealed.store
    archive.put_segment(a_name(1, 3), CONTENT)
    ((key, (body, info)),) = [(key, held) for key, held in store.objects.items() if a_name(1, 3) in key]
    store.objects[key] = (body[:-1] + bytes([body[-1] ^ 1]), info)
    archive.put_segment(a_name(1, 3), CONTENT)
    assert archive.read_segment(a_name(1, 3)) == CONTENT

    unreadable = b"{" + body[1:40] + b"?" + body[41:]
    store.objects[key] = (unreadable, info)
    with pytest.raises(PartCorrupt):
        archive.put_segment(a_name(1, 3), CONTENT)
    assert store.objects[key][0] == unreadable


class ForgetfulStore(MemoryStore):
    """Takes the first write of each key and loses the answer."""

    def _write(self, key, *rest):
        info = super()._write(key, *rest)
        if key.startswith("wal/") and key not in self.lost:
            self.lost.add(key)
            raise StoreUnavailable("the answer was lost")
        return info

    lost: set[str]


def test_a_create_whose_answer_was_lost_is_repeated(tmp_path):
    store = ForgetfulStore()
    store.lost = set()
    archive = a_repository(store, SITE, wrapper=KeyFile.create(tmp_path / "k"), clock=SystemClock()).wal(SYSTEM)
    upload = archive.segment_upload(a_name(1, 3), CONTENT)
    upload.seal()
    with pytest.raises(StoreUnavailable):
        upload.create()
    upload.create()
    upload.prove()
    assert archive.read_segment(a_name(1, 3)) == CONTENT


def test_a_reader_beside_the_writer_never_sees_half_a_segment(tmp_path):
    """L-16: what is listed as a segment can be read whole, at every moment."""
    store = DirectoryStore(tmp_path / "repository", create=True)
    archive = a_repository(store, SITE, wrapper=None, clock=SystemClock()).wal(SYSTEM)
    done = threading.Event()

    def write() -> None:
        for number in range(40):
            name = a_name(1, number)
            archive.put_partial(name, end_lsn=at(number, 700), plain=CONTENT[:700])
            archive.put_segment(name, CONTENT)
            archive.drop_partials(name)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    looks = 0
    try:
        while not done.is_set():
            listing = archive.stored(1)
            for segment in listing.segments[-2:]:
                assert archive.read_segment(segment.name) == CONTENT
            for partial in listing.partials:
                assert archive.read_partial(partial.name, partial.end_lsn) == CONTENT[:700]
            looks += 1
    finally:
        writer.join()
    assert looks > 5
