"""Listings that ask for several pages at once, in no order.

One page of 1,000 keys after the other spends its time waiting: a million objects 50 ms away take a minute. So a prefix
is cut, and its pieces are listed side by side:

* at its **folders**, where the first page shows that they are large and one more request names them all;
* else, where the store is trusted to list in byte order, at any text, into **ranges of keys**. Whenever workers are
  idle, the range whose page just came is halved. What lies behind a cut may turn out to be empty; that costs a request
  and no truth.

A level with thousands of folders is not cut at them: asking for each small folder takes longer than listing them.
Every key that is there all the time is listed exactly once, because pieces never overlap and leave nothing out.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, Protocol

from lc2_backup_dagster.clouds.aws.pages import Page
from lc2_backup_dagster.clouds.store import ObjectInfo

_FOLDER = 100  # objects that make a folder worth requests of its own
_DIGITS = 4  # letters of a guess behind what both ends have in common


class Piece(Protocol):
    """A part of a listing."""

    def fetch(self) -> Page:
        """Ask for its next page; called in a worker."""
        ...

    def follow(self, page: Page, room: int) -> "tuple[list[ObjectInfo], list[Piece]]":
        """Return the objects of the page, and what is left of this piece.

        Args:
            page: what ``fetch`` returned.
            room: idle workers beside the one that goes on with this piece.
        """
        ...


def list_pieces(first: Piece, *, at_once: int) -> Iterator[ObjectInfo]:
    """Yield all objects of a piece and of what it is cut into, at most ``at_once`` pages being fetched or held.

    Raises:
        BackupError: of the first page that failed.
    """
    waiting: deque[Piece] = deque([first])
    running: dict[Future[Page], Piece] = {}
    with ThreadPoolExecutor(at_once, thread_name_prefix="s3-list") as pool:

        def start() -> None:
            while waiting and len(running) < at_once:
                piece = waiting.pop()
                running[pool.submit(piece.fetch)] = piece

        try:
            start()
            while running:
                done = next(iter(wait(running, return_when=FIRST_COMPLETED).done))
                piece = running.pop(done)
                objects, rest = piece.follow(done.result(), max(0, at_once - 1 - len(running) - len(waiting)))
                waiting.extend(rest)
                start()  # before anybody takes their time over the objects
                yield from objects
        finally:
            for future in running:
                future.cancel()


@dataclass(frozen=True, slots=True)
class Bucket:
    """What pieces are fetched from.

    Attributes:
        ask: takes the parameters of ``list_objects_v2`` and returns a page that says whether more follows, and where.
        out_of_order: makes the error for a key that is not behind the one before it; None where no order is promised.
        page_keys: keys of a page.
    """

    ask: Callable[[Mapping[str, Any]], Page]
    out_of_order: Callable[[str], Exception] | None = None
    page_keys: int = 1000


@dataclass(frozen=True, slots=True)
class Folder:
    """What lies below a prefix.

    Attributes:
        bucket: where.
        prefix: any text.
        mode: ``look`` at the first page and decide; list one ``level``, its folders apart; list all ``flat``.
        following: parameters of the next page.
    """

    bucket: Bucket
    prefix: str
    mode: str = "look"
    following: Mapping[str, str] | None = None

    def fetch(self) -> Page:
        """Ask for the next page."""
        level = {"Delimiter": "/"} if self.mode == "level" else {}
        return self.bucket.ask(
            {"Prefix": self.prefix, "MaxKeys": self.bucket.page_keys, **level, **(self.following or {})}
        )

    def follow(self, page: Page, room: int) -> tuple[list[ObjectInfo], list[Piece]]:
        """Keep the page, or cut the prefix at its folders."""
        if self.mode == "level":
            if page.truncated:
                return [], [self._whole()]
            # A store that sums up under the prefix itself would be asked the same for ever.
            inner = [name for name in page.prefixes if name != self.prefix and name.startswith(self.prefix)]
            return self._own(page), [Folder(self.bucket, name) for name in inner]
        if self.mode == "look" and page.truncated:
            if self._has_large_folders(page):
                return [], [replace(self, mode="level")]
            if self.bucket.out_of_order is not None:
                return KeyRange(self.bucket, self.prefix).follow(page, room)
        rest = [replace(self, mode="flat", following=page.following)] if page.truncated else []
        return self._own(page), list[Piece](rest)

    def _whole(self) -> Piece:
        if self.bucket.out_of_order is not None:
            return KeyRange(self.bucket, self.prefix)
        return Folder(self.bucket, self.prefix, mode="flat")

    def _own(self, page: Page) -> list[ObjectInfo]:
        # SeaweedFS takes `a//` for `a/`.
        return [each for each in page.objects if each.key.startswith(self.prefix)]

    def _has_large_folders(self, page: Page) -> bool:
        length = len(self.prefix)
        folders = {each.key[: each.key.find("/", length)] for each in page.objects if "/" in each.key[length:]}
        return bool(folders) and len(page.objects) >= len(folders) * min(_FOLDER, self.bucket.page_keys)


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys with a prefix that are behind ``after`` and not behind ``until``, of a store in byte order.

    Attributes:
        bucket: where; says what is wrong with a key that is out of order.
        prefix: all keys begin with it.
        after: text; the empty one is before every key.
        until: text; None means to the end of the prefix.
        following: parameters of the next page, which begins behind ``after``.
    """

    bucket: Bucket
    prefix: str
    after: str = ""
    until: str | None = None
    following: Mapping[str, str] | None = None

    def fetch(self) -> Page:
        """Ask for the page behind ``after``."""
        start = self.following or ({"StartAfter": self.after} if self.after else {})
        return self.bucket.ask({"Prefix": self.prefix, "MaxKeys": self.bucket.page_keys, **start})

    def follow(self, page: Page, room: int) -> tuple[list[ObjectInfo], list[Piece]]:
        """Keep what belongs to the range, and halve what is left of it while there is room."""
        found: list[ObjectInfo] = []
        last, end = self.after.encode(), None if self.until is None else self.until.encode()
        for each in page.objects:
            key = each.key.encode()
            if key <= last and self.bucket.out_of_order is not None:
                raise self.bucket.out_of_order(each.key)
            last = key
            if end is not None and key > end:
                return found, []
            found.append(each)
        if not page.truncated:
            return found, []
        pieces = [replace(self, after=last.decode(), following=page.following)]
        for cut in cuts(last.decode(), self.until, prefix=self.prefix, number=room):
            pieces[-1:] = [replace(pieces[-1], until=cut), replace(self, after=cut, following=None)]
        return found, list[Piece](pieces)


def cuts(low: str, high: str | None, *, prefix: str, number: int) -> list[str]:
    """Return texts that cut what lies between two others in byte order into parts of about one size.

    Where the lower one has a digit, digits are guessed: most names are numbers, dates or hashes.

    Args:
        low: the lower text, with the prefix.
        high: the higher text, with the prefix; None for the end of the prefix.
        prefix: of all keys.
        number: of texts; fewer come where there is no room for them.
    """
    start, end = low[len(prefix) :], None if high is None else high[len(prefix) :]
    common = 0
    while end is not None and common < min(len(start), len(end)) and start[common] == end[common]:
        common += 1
    alphabets = [_alphabet(start[place : place + 1]) for place in range(common + _DIGITS)]
    lowest, highest = _number(start, alphabets), _number(end, alphabets)
    found: list[str] = []
    for part in range(1, number + 1):
        cut = prefix + _letters(lowest + (highest - lowest) * part // (number + 1), alphabets)
        above = cut.encode() > (found[-1] if found else low).encode()
        if above and (high is None or cut.encode() < high.encode()):
            found.append(cut)
    return found


def _letters(number: int, alphabets: list[tuple[int, int]]) -> str:
    letters: list[str] = []
    for first, last in reversed(alphabets):
        number, digit = divmod(number, last - first + 1)
        letters.append(chr(first + digit))
    return "".join(reversed(letters))


def _alphabet(letter: str) -> tuple[int, int]:
    """Return the first letter and the one behind the last of those that may stand in a place."""
    return (0x30, 0x3A) if letter.isascii() and letter.isdigit() else (0x20, 0x7E)


def _number(text: str | None, alphabets: list[tuple[int, int]]) -> int:
    """Read the beginning of a text as a number; other letters count as the nearest one. None is above all texts."""
    number = 0
    for place, (first, last) in enumerate(alphabets):
        letter = last if text is None else ord(text[place]) if place < len(text) else first
        number = number * (last - first + 1) + min(max(letter, first), last) - first
    return number
