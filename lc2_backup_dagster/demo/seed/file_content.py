"""The bytes of a planned file: a function of its key, size and content type, produced in chunks.

Text is text (it compresses about three to one); images, videos and archives cannot be compressed, as the real ones
cannot; a PDF is compressed pages between compressible objects.
"""

import base64
import hashlib
from collections.abc import Iterator
from random import Random

from lc2_backup_dagster.demo.seed.library_plan import PlannedObject
from lc2_backup_dagster.demo.seed.prose import Prose

CHUNK_BYTES = 1 << 20
_MAGIC = {
    "application/pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": b"PK\x03\x04\x14\x00\x06\x00",
    "application/zip": b"PK\x03\x04\x14\x00\x00\x00",
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01",
    "image/png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "video/mp4": b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00",
    "text/html; charset=utf-8": b"<!doctype html>\n",
}


def file_content(planned: PlannedObject) -> Iterator[bytes]:
    """Yield the object's bytes in chunks of at most 1 MiB."""
    # Drawn from the key, so that no two files have the same content.
    random = Random(f"{planned.key}/{planned.size_bytes}")
    prose = Prose(random)
    left = planned.size_bytes
    first = _MAGIC.get(planned.content_type, b"")
    while left:
        room = min(left, CHUNK_BYTES) - len(first)
        if planned.content_type.startswith("text/"):
            body = _text(prose, room)
        elif planned.content_type == "application/pdf":
            body = random.randbytes(room * 4 // 5) + _text(prose, room - room * 4 // 5)
        else:
            body = random.randbytes(room)
        yield first + body
        left -= len(first) + room
        first = b""


def content_checksum(planned: PlannedObject) -> str:
    """Return the SHA-256 of the object's bytes in base64, as ``dlfileversion.checksum`` holds it."""
    digest = hashlib.sha256()
    for chunk in file_content(planned):
        digest.update(chunk)
    return base64.b64encode(digest.digest()).decode()


def _text(prose: Prose, size_bytes: int) -> bytes:
    text = prose.text(size_bytes // 4 + 16).encode("ascii")
    while len(text) < size_bytes:
        text += prose.text(size_bytes // 4 + 16).encode("ascii")
    return text[:size_bytes]
