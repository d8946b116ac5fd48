"""Which media a seeded Bloomreach has: one plan, read by the database's rows and by the bucket's objects.

Many small ones: a shop's product pictures in the sizes that its pages show. A new version of a medium gets a new key,
so that what a CDN caches under a key never changes.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from lc2_backup_dagster.demo.seed.library_plan import ObjectRole, PlannedObject
from lc2_backup_dagster.demo.seed.prose import Prose

_FOLDERS = ("banners", "brands", "news", "stores", *(f"products/{kind}" for kind in ("coats", "home", "shoes", "toys")))
_KINDS = (
    ("jpg", "image/jpeg", 70),
    ("png", "image/png", 15),
    ("pdf", "application/pdf", 5),
    ("gif", "image/gif", 10),
)
_EDITORS = ("anna.weber", "jose.garcia", "priya.patel", "tomas.novak")


@dataclass(frozen=True, slots=True)
class PlannedMedium:
    """One row of ``brx_media`` and its object."""

    number: int
    folder: str
    file_name: str
    version: int
    node_id: bytes
    editor: str
    stored: PlannedObject


def plan_media(seed: int, count: int) -> Iterator[PlannedMedium]:
    """Yield so many media in the order of their numbers; the same for one seed."""
    random = Random(f"{seed}/bloomreach media")
    prose = Prose(random)
    for number in range(1, count + 1):
        yield invent_medium(random, prose, number)


def invent_medium(random: Random, prose: Prose, number: int) -> PlannedMedium:
    """Return a new medium."""
    extension, content_type, _ = random.choices(_KINDS, weights=[weight for *_, weight in _KINDS])[0]
    folder = random.choice(_FOLDERS)
    return _planned(
        random,
        number=number,
        folder=f"{folder}/{random.randrange(2019, 2027)}",
        file_name=f"{prose.slug(2)}-{number:05}.{extension}",
        version=1,
        content_type=content_type,
        node_id=hashlib.md5(f"medium {number}".encode(), usedforsecurity=False).digest(),
    )


def next_version(random: Random, medium: PlannedMedium) -> PlannedMedium:
    """Return the same medium with other content, under another key."""
    return _planned(
        random,
        number=medium.number,
        folder=medium.folder,
        file_name=medium.file_name,
        version=medium.version + 1,
        content_type=medium.stored.content_type,
        node_id=medium.node_id,
    )


def media_key(folder: str, file_name: str, version: int) -> str:
    """Return the key of one version of a medium."""
    stem, _, extension = file_name.rpartition(".")
    return f"{folder}/{stem}.v{version}.{extension}"


def _planned(
    random: Random, *, number: int, folder: str, file_name: str, version: int, content_type: str, node_id: bytes
) -> PlannedMedium:
    editor = random.choice(_EDITORS)
    stored = PlannedObject(
        key=media_key(folder, file_name, version),
        size_bytes=min(60_000, int(random.lognormvariate(8.2, 0.8)) + 200),
        content_type=content_type,
        role=ObjectRole.DOCUMENT,
        metadata={"uploaded-by": editor},
    )
    return PlannedMedium(number, folder, file_name, version, node_id, editor, stored)
