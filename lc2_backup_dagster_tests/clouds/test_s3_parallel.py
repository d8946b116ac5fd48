"""Listings in pieces are the listing: no key twice, none left out, in bounded memory."""

import threading
from contextlib import closing
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lc2_backup_dagster.clouds.aws.pages import Page
from lc2_backup_dagster.clouds.aws.parallel import Bucket, Folder, KeyRange, cuts, list_pieces
from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.model.errors import AccessDenied, ConfigurationError, StoreUnavailable
from lc2_backup_dagster_tests.clouds.misbehaving_server import Answer
from lc2_backup_dagster_tests.clouds.test_s3_faults import LISTING, serving
from lc2_backup_dagster_tests.clouds.test_s3_pages import MOMENT
from lc2_backup_dagster_tests.contracts.object_store import fill

LETTERS = st.sampled_from("ab01/~ -é\x01🙂")
KEYS = st.sets(st.text(LETTERS, min_size=1, max_size=6), max_size=60)


class Keys:
    """Answers like S3, in byte order; counts the requests and how many were made at once."""

    def __init__(self, keys):
        self.keys = sorted(keys, key=str.encode)
        self.wishes = []
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(self, wish):
        with self._lock:
            self.wishes.append(wish)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return self.answer(wish)
        finally:
            with self._lock:
                self.at_once -= 1

    def answer(self, wish):
        prefix, after = wish["Prefix"], wish.get("ContinuationToken", wish.get("StartAfter", "")).encode()
        page, last = Page(truncated=False), None
        for key in self.keys:
            if not key.startswith(prefix) or key.encode() <= after:
                continue
            below = key[len(prefix) :].partition("/")
            summed_up = prefix + below[0] + "/" if "Delimiter" in wish and below[1] else None
            if summed_up is not None and (summed_up in page.prefixes or after.startswith(summed_up.encode())):
                last = key
                continue
            if len(page.objects) + len(page.prefixes) == wish["MaxKeys"]:
                page.truncated, page.following = True, {"ContinuationToken": last}
                break
            if summed_up is not None:
                page.prefixes.append(summed_up)
            else:
                page.objects.append(ObjectInfo(key, 1, MOMENT))
            last = key
        return page


def wholes(keys, prefix="", page_keys=1000):
    """Return the listing of a store without order, of one in order, and of one in order by ranges alone."""
    free, ordered = Bucket(keys, page_keys=page_keys), Bucket(keys, AssertionError, page_keys)
    return Folder(free, prefix), Folder(ordered, prefix), KeyRange(ordered, prefix)


@settings(deadline=None, max_examples=150)
@given(keys=KEYS, prefix=st.text(LETTERS, max_size=3), page_keys=st.integers(1, 7), at_once=st.integers(1, 5))
@example(keys={f"{n:03d}" for n in range(60)}, prefix="", page_keys=3, at_once=4)
@example(keys={"top", "b/x", *(f"a/{n}" for n in range(10))}, prefix="", page_keys=3, at_once=2)
@example(keys={f"a/{n:02d}/x" for n in range(60)}, prefix="a/", page_keys=3, at_once=4)
def test_every_key_is_listed_exactly_once(keys, prefix, page_keys, at_once):
    bucket = Keys(keys)
    for whole in wholes(bucket, prefix, page_keys):
        listed = [found.key for found in list_pieces(whole, at_once=at_once)]

        assert sorted(listed, key=str.encode) == [key for key in bucket.keys if key.startswith(prefix)]
        assert bucket.most_at_once <= at_once


@settings(deadline=None)
@given(
    low=st.text(LETTERS, max_size=6), high=st.none() | st.text(LETTERS, max_size=6), prefix=st.text(LETTERS, max_size=3)
)
def test_cuts_lie_between_their_ends_and_in_order(low, high, prefix):
    low, high = prefix + low, None if high is None else prefix + high
    found = [text.encode() for text in cuts(low, high, prefix=prefix, number=5)]
    assert found == sorted(set(found))
    assert all(text.startswith(prefix.encode()) for text in found)
    if found:
        assert low.encode() < found[0]
        assert high is None or found[-1] < high.encode()


def test_cuts_make_parts_of_about_one_size():
    assert [text[:4] for text in cuts("f/1000", "f/3000", prefix="f/", number=3)] == ["f/15", "f/20", "f/25"]
    assert cuts("20097/20121/10005", "20097/20121/30005", prefix="", number=1) == ["20097/20121/2000"]
    assert [text[:3] for text in cuts("f/0", None, prefix="f/", number=4)] == ["f/2", "f/4", "f/6", "f/8"]
    assert [text[:2] for text in cuts("aa", "ad", prefix="", number=2)] == ["ab", "ac"]
    assert cuts("a", "a", prefix="", number=3) == []


LARGE = {
    "one flat folder": [f"{number:06d}" for number in range(20_000)],
    "a folder for each file": [f"20097/20121/{number}/1.0" for number in range(300_000, 320_000)],
    "dates": [f"2026-{month:02d}/{number:05d}.jpg" for month in range(1, 13) for number in range(1700)],
    "hashes": [f"{number * 2654435761 % 2**32:08x}" for number in range(20_000)],
}


def rounds_of(whole, workers=8):
    """Return how often workers that all take the same time have to ask, and how many objects came."""
    waiting, rounds, listed = [whole], 0, 0
    while waiting:
        rounds += 1
        now, waiting = waiting[:workers], waiting[workers:]
        for place, piece in enumerate(now):
            busy = len(waiting) + len(now) - 1 - place
            found, rest = piece.follow(piece.fetch(), max(0, workers - 1 - busy))
            listed += len(found)
            waiting.extend(rest)
    return rounds, listed


@pytest.mark.parametrize("keys", LARGE.values(), ids=LARGE)
def test_eight_workers_need_a_fifth_of_the_time_and_ask_for_little_in_vain(keys):
    bucket = Keys(keys)
    # 200 pages, one after the other.
    rounds, listed = rounds_of(Folder(Bucket(bucket, AssertionError, page_keys=100), ""))

    assert listed == len(keys)
    assert rounds <= 40
    assert len(bucket.wishes) <= 260


def test_folders_are_listed_apart_only_where_that_pays():
    dates, single = Keys(LARGE["dates"]), Keys(LARGE["a folder for each file"])
    for bucket in (dates, single):
        assert sum(1 for _ in list_pieces(Folder(Bucket(bucket), ""), at_once=8)) == len(bucket.keys)

    assert {wish["Prefix"] for wish in dates.wishes} > {"2026-01/", "2026-12/"}
    assert len(dates.wishes) <= 2 + 2 * 12
    # Two levels of one folder each are looked into; a request for each of 20,000 folders is not made.
    assert len(single.wishes) <= 20 + 6


def test_a_small_listing_is_one_request():
    bucket = Keys(["a/b", "c"])
    for number, whole in enumerate(wholes(bucket), 1):
        assert len(list(list_pieces(whole, at_once=8))) == 2
        assert len(bucket.wishes) == number


def test_a_page_that_fails_ends_the_listing():
    class Failing(Keys):
        def answer(self, wish):
            if len(self.wishes) > 5:
                raise StoreUnavailable("slow down")
            return super().answer(wish)

    for whole in wholes(Failing(LARGE["dates"])):
        with pytest.raises(StoreUnavailable):
            list(list_pieces(whole, at_once=4))


def test_a_listing_that_is_left_asks_for_nothing_more():
    bucket = Keys(LARGE["dates"])
    with closing(list_pieces(KeyRange(Bucket(bucket, AssertionError), ""), at_once=4)) as found:
        next(found)
    asked = len(bucket.wishes)
    assert asked <= 8
    assert threading.active_count() < 10
    assert len(bucket.wishes) == asked


def test_the_store_lists_its_bucket_in_pieces(s3_connection, make_bucket, monkeypatch):
    monkeypatch.setattr("lc2_backup_dagster.clouds.aws.listing.Bucket", partial(Bucket, page_keys=4))
    store = S3Store(s3_connection, make_bucket())
    keys = [f"{folder}/{number}" for folder in ("a", "a b", "ü/%2F+", "z/y/x") for number in range(6)] + ["a-", "top"]
    fill(store, keys)

    for prefix in ("", "a", "a/", "a//", "ü", "z/y", "nothing"):
        assert sorted(found.key for found in store.list_unordered(prefix)) == sorted(
            found.key for found in store.list(prefix)
        )
    assert list(store.list_unordered("\udcff")) == []


def test_a_store_wrongly_trusted_to_be_in_order_is_found_out():
    entry = LISTING[LISTING.index("<Contents>") : LISTING.index("</ListBucketResult>")]
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>on</NextContinuationToken>"
    body = LISTING.format(more, "b").replace("</ListB", entry.format("", "a") + "</ListB")
    with serving(lambda _: Answer(200, body.encode())) as (store, _):
        trusting = S3Store(store._connection, "bucket", ordered_listing=True)
        with pytest.raises(ConfigurationError, match="orderedListing"):
            list(trusting.list_unordered())


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(200, b"<html/>"), StoreUnavailable),
        (Answer(403), AccessDenied),
        (Answer(200, LISTING.format("<IsTruncated>true</IsTruncated>", "key").encode()), StoreUnavailable),
    ],
    ids=range(3),
)
def test_what_is_no_listing_is_none_in_pieces_either(answer, kind):
    with serving(lambda _: answer, attempts=1) as (store, _):
        for ordered in (True, False):
            with pytest.raises(kind):
                list(S3Store(store._connection, "bucket", ordered_listing=ordered).list_unordered())
