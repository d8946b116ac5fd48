"""Where a resource or a content item stands in an export: a path made of its own names, one for each.

Names of the application may hold what a path must not (a slash, a control character, ``..``) or be too long for a file
system. They are escaped like in URLs, so that two names never become one path, and cut only behind a hash of the whole.
"""

import hashlib

# A document's name has an ending, and a folder `.history` behind it; a file system allows 255 bytes.
_SEGMENT_BYTES = 200
_KEPT_BYTES = 120


def segment(name: str) -> str:
    """Return one segment of a path for a name; different for different names.

    Letters, digits and punctuation stay as they are, but ``/``, ``%``, ``~``, control characters, a lone surrogate, and
    a dot at the beginning, which are written as ``%`` and the hex digits of their UTF-8 bytes.
    """
    written = "".join(_character(character, is_first=number == 0) for number, character in enumerate(name)) or "%"
    encoded = written.encode()
    if len(encoded) <= _SEGMENT_BYTES:
        return written
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    return f"{encoded[:_KEPT_BYTES].decode('utf-8', 'ignore')}~{digest}"


def _character(character: str, *, is_first: bool) -> str:
    code = ord(character)
    if (
        character in "/%~\\"
        or code < 0x20
        or code == 0x7F
        or 0xD800 <= code <= 0xDFFF
        or (is_first and character == ".")
    ):
        return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
    return character


def folder(path: str) -> str:
    """Return the segments of an item's own path (``/content/documents/…``), without a slash at either end."""
    return "/".join(segment(each) for each in path.strip("/").split("/"))


def item_path(path: str, kind: str) -> str:
    """Return where the document of a content item stands: its own path, and its kind before the ending.

    A folder and a document of one name are two documents, and neither is in the other's way.
    """
    return f"{folder(path)}.{segment(kind)}.json"


def version_path(path: str, kind: str, version: str) -> str:
    """Return where an earlier version of a content item stands."""
    return f"{folder(path)}.{segment(kind)}.history/{segment(version)}.json"
