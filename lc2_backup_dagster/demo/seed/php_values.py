"""PHP's ``serialize`` and ``unserialize`` for the values that Drupal keeps in its tables: scalars and arrays.

The only library for Python (``phpserialize``) had its last release in 2016 and loses the order that arrays have in PHP.
A PHP array is a list here when its keys are 0, 1, 2 … in this order, and a mapping otherwise; an empty one is an empty
mapping. Objects and references are refused: configuration has none.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

PhpValue: TypeAlias = (
    "bool | int | float | str | Sequence[PhpValue] | Mapping[str | int, PhpValue] | Mapping[str, PhpValue] | None"
)


def serialize(value: PhpValue) -> bytes:
    """Return what PHP's ``serialize`` makes of a value.

    Raises:
        TypeError: PHP arrays and scalars cannot hold it.
    """
    match value:
        case None:
            return b"N;"
        case bool():
            return b"b:%d;" % value
        case int():
            return b"i:%d;" % value
        case float():
            return b"d:%s;" % (f"{value:.0f}" if value.is_integer() else repr(value)).encode()
        case str():
            encoded = value.encode()
            return b's:%d:"%s";' % (len(encoded), encoded)
        case Mapping():
            items = cast("Mapping[str | int, PhpValue]", value).items()
            return _array([(array_key(key), item) for key, item in items])
        case Sequence():
            return _array(list(enumerate(value)))
        case _:
            raise TypeError(f"PHP has no {type(value).__name__}")


def unserialize(data: bytes) -> PhpValue:
    """Return the value that ``serialize`` wrote.

    Raises:
        ValueError: it is cut off, is followed by something, or holds what is neither scalar nor array.
    """
    reader = _Reader(data)
    value = reader.value()
    if reader.at != len(data):
        raise ValueError(f"{len(data) - reader.at} bytes follow the serialized value")
    return value


def array_key(key: str | int) -> str | int:
    """Return a key as PHP's arrays keep it: text that is a whole number becomes that number."""
    if isinstance(key, int):
        return key
    digits = key.removeprefix("-")
    whole = digits.isascii() and digits.isdigit() and (digits == "0" or digits[0] != "0")
    return int(key) if whole and key != "-0" and len(digits) < 19 else key


def _array(items: Sequence[tuple[str | int, PhpValue]]) -> bytes:
    return b"a:%d:{%s}" % (len(items), b"".join(serialize(key) + serialize(item) for key, item in items))


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def value(self) -> PhpValue:
        kind = self._take(2)
        match kind:
            case b"N;":
                return None
            case b"b:":
                return self._until(b";") == b"1"
            case b"i:":
                return int(self._until(b";"))
            case b"d:":
                return float(self._until(b";"))
            case b"s:":
                size = int(self._until(b":"))
                text = self._take(size + 3)
                if text[:1] != b'"' or text[-2:] != b'";':
                    raise ValueError(f"a text at byte {self.at} has another length than it says")
                return text[1:-2].decode()
            case b"a:":
                return self._items()
            case _:
                raise ValueError(f"{kind!r} at byte {self.at} is neither scalar nor array")

    def _items(self) -> PhpValue:
        count = int(self._until(b":"))
        self._expect(b"{")
        items: dict[str | int, PhpValue] = {}
        for _ in range(count):
            key = self.value()
            if not isinstance(key, str | int):
                raise ValueError(f"the key of an array at byte {self.at} is no text and no number")
            items[key] = self.value()
        self._expect(b"}")
        return list(items.values()) if items and list(items) == list(range(len(items))) else items

    def _take(self, size: int) -> bytes:
        taken = self._data[self.at : self.at + size]
        if len(taken) != size:
            raise ValueError("the serialized value is cut off")
        self.at += size
        return taken

    def _until(self, end: bytes) -> bytes:
        found = self._data.find(end, self.at)
        if found < 0:
            raise ValueError("the serialized value is cut off")
        taken, self.at = self._data[self.at : found], found + 1
        return taken

    def _expect(self, mark: bytes) -> None:
        if self._take(len(mark)) != mark:
            raise ValueError(f"{mark!r} is missing at byte {self.at}")
