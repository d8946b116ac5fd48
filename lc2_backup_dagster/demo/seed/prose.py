"""Running text with the word frequencies of a language, and measures of how compressible it is.

Words are drawn independently by the Zipf-Mandelbrot law from a fixed vocabulary: the head is a list of English words
(``words.txt``, most frequent first), the tail is composed of stems and affixes. There is no grammar and no phrase is
repeated on purpose, so the text is somewhat harder to compress than real prose of the same words; what a compressor
reaches on it is not a gift of the generator. ``measure`` publishes its entropy.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from random import Random
from struct import unpack

_SLOTS = 1 << 16
_VOCABULARY = 5_000
_FLATTENING = 2.7  # Mandelbrot's shift of the rank: keeps the very first words from taking a tenth of the text each
_PREFIXES = ("re", "pre", "inter", "over", "sub", "co", "multi", "un", "out", "trans", "micro", "cross")
_SUFFIXES = ("s", "ing", "ed", "er", "al", "ment", "ness", "able", "less", "wise", "ship", "ation")


def vocabulary() -> tuple[str, ...]:
    """Return the words, most frequent first."""
    text = files("lc2_backup_dagster.demo.seed").joinpath("words.txt").read_text(encoding="utf-8")
    words = dict.fromkeys(text.split())
    stems = [word for word in words if len(word) > 3]
    random = Random("the tail of the vocabulary")
    while len(words) < _VOCABULARY:
        stem = random.choice(stems)
        words[random.choice(_PREFIXES) + stem if random.random() < 0.4 else stem + random.choice(_SUFFIXES)] = None
    return tuple(words)


@lru_cache(maxsize=1)
def _slots() -> list[str]:
    """Return 65,536 pieces of text; each word holds as many as its frequency, some with punctuation before it."""
    words = vocabulary()
    weights = [1 / (rank + _FLATTENING) for rank in range(len(words))]
    total = sum(weights)
    slots: list[str] = []
    reach = 0.0
    for word, weight in zip(words, weights, strict=True):
        reach += weight / total * _SLOTS
        # A sentence break carries its capital along, so that joining pieces is all there is to do. Every word has
        # one string of each kind: the processor's cache holds them all, which makes the text twice as fast.
        plain, comma = f" {word}", f", {word}"
        full_stop, paragraph = f". {word.capitalize()}", f".\n\n{word.capitalize()}"
        for number in range(round(reach) - len(slots)):
            match (number + len(word)) % 24:
                case 0 | 8:
                    slots.append(comma)
                case 16:
                    slots.append(full_stop)
                case 21 if number % 4 == 0:
                    slots.append(paragraph)
                case _:
                    slots.append(plain)
    return slots


class Prose:
    """Text from one source of randomness; some 50 MB a second."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._slots = _slots()

    def text(self, words: int) -> str:
        """Return sentences and paragraphs of so many words; paragraphs are set apart by an empty line."""
        picks = unpack(f"<{words}H", self._random.randbytes(2 * words))
        joined = "".join(map(self._slots.__getitem__, picks)).lstrip(" ,.\n")
        return f"{joined[0].upper()}{joined[1:]}."

    def html(self, words: int) -> str:
        """Return the same as HTML paragraphs."""
        return f"<p>{self.text(words).replace(chr(10) * 2, '</p><p>')}</p>"

    def title(self, words: int) -> str:
        """Return a line without punctuation, every word with a capital."""
        picks: tuple[int, ...] = unpack(f"<{words}H", self._random.randbytes(2 * words))
        return " ".join(self._slots[pick].strip(" ,.\n").capitalize() for pick in picks)

    def slug(self, words: int) -> str:
        """Return words in lower case joined by hyphens."""
        return self.title(words).lower().replace(" ", "-")


@dataclass(frozen=True, slots=True)
class TextEntropy:
    """How much a text tells per character.

    Attributes:
        characters: length of the sample.
        order0_bits: entropy of single characters, bits per character.
        order1_bits: entropy of a character when the one before is known.
        order2_bits: the same with two characters before it. English prose has about 3.
        word_bits: entropy of single words (with their separators) spread over their characters: the bound for a
            compressor that knows the vocabulary but no grammar.
        distinct_windows: share of the 64-character windows (at every 64th place) that occur once; 1.0 means that
            nothing was copied.
    """

    characters: int
    order0_bits: float
    order1_bits: float
    order2_bits: float
    word_bits: float
    distinct_windows: float

    def __str__(self) -> str:
        return (
            f"{self.characters:,} characters: order 0 {self.order0_bits:.2f}, order 1 {self.order1_bits:.2f}, "
            f"order 2 {self.order2_bits:.2f}, words {self.word_bits:.2f} bits per character; "
            f"{self.distinct_windows:.2%} of its 64-character windows are unique"
        )


def measure(texts: Iterable[str]) -> TextEntropy:
    """Measure a sample of a few million characters (memory grows with it); no compressor takes part.

    Raises:
        ValueError: the sample has fewer than 64 characters.
    """
    text = "".join(texts)
    if len(text) < 64:
        raise ValueError("a sample of fewer than 64 characters says nothing")
    blocks = [
        _bits(Counter(text)),
        _bits(Counter(map("".join, pairwise(text)))),
        _bits(Counter(map("".join, zip(text, text[1:], text[2:], strict=False)))),
    ]
    words = Counter(text.split(" "))
    windows = Counter(text[start : start + 64] for start in range(0, len(text) - 63, 64))
    return TextEntropy(
        characters=len(text),
        order0_bits=blocks[0],
        order1_bits=blocks[1] - blocks[0],
        order2_bits=blocks[2] - blocks[1],
        word_bits=_bits(words) * words.total() / len(text),
        distinct_windows=sum(1 for count in windows.values() if count == 1) / windows.total(),
    )


def _bits(counts: Counter[str]) -> float:
    total = counts.total()
    return math.log2(total) - sum(count * math.log2(count) for count in counts.values()) / total
