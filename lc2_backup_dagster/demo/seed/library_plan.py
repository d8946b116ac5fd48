"""Which documents a seeded Liferay has: one pure plan, read by the database's rows and by the store's objects.

Keys follow Liferay's object store: ``{companyId}/{repositoryId}/{fileName}/{version}`` with ``~<storeUUID>`` behind
the version where the row has one; generated files lie under repository 0 (REQUIREMENTS, "Liferay DXP").
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from uuid import UUID

from lc2_backup_dagster.demo.seed.people import Person, invent_person
from lc2_backup_dagster.demo.seed.prose import Prose
from lc2_backup_dagster.demo.seed.scale import (
    COMPANY_ID,
    DOCUMENT_FIRST_ID,
    IDS_PER_DOCUMENT,
    REPOSITORY_ID,
    SECOND_REPOSITORY_ID,
    STAFF,
    STAFF_FIRST_ID,
    LiferayScale,
)

FIRST_FILE_NAME = 20_417
FOLDERS = {REPOSITORY_ID: tuple(range(20_300, 20_340)), SECOND_REPOSITORY_ID: tuple(range(41_310, 41_320))}
"""Mapping of repository id → ids of its folders; 0 stands for the root folder and is no row."""

_SMALLEST, _MEDIAN, _SIGMA, _LARGEST_COMMON = 2_048, 12_000, 1.45, 8 * 1024 * 1024
_KINDS = (  # extension, content type, share of the documents
    ("pdf", "application/pdf", 34),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", 18),
    ("jpg", "image/jpeg", 18),
    ("png", "image/png", 12),
    ("txt", "text/plain", 8),
    ("csv", "text/csv", 4),
    ("mp4", "video/mp4", 2),
    ("zip", "application/zip", 2),
    ("html", "text/html; charset=utf-8", 2),
)
_PREVIEWED = {"pdf", "docx", "jpg", "png", "mp4"}


class ObjectRole(StrEnum):
    """Why an object is in the library."""

    DOCUMENT = "document"
    GENERATED = "generated"
    """A thumbnail, preview or adaptive image: Liferay makes it again when it is missing."""
    CACHE = "cache"


@dataclass(frozen=True, slots=True)
class PlannedObject:
    """One object of the library. Its content follows from key, size and content type (``file_content.py``)."""

    key: str
    size_bytes: int
    content_type: str
    role: ObjectRole
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class PlannedVersion:
    """One row of ``dlfileversion``; ``store_uuid`` is None for versions from before Liferay had it."""

    file_version_id: int
    version: str
    store_uuid: str | None
    document: PlannedObject
    generated: tuple[PlannedObject, ...]


@dataclass(frozen=True, slots=True)
class PlannedDocument:
    """One row of ``dlfileentry`` with its versions, oldest first."""

    file_entry_id: int
    repository_id: int
    folder_id: int
    name: str
    title: str
    extension: str
    content_type: str
    user_id: int
    uuid: str
    versions: tuple[PlannedVersion, ...]

    @property
    def file_name(self) -> str:
        """The name that a download gets."""
        return f"{self.title}.{self.extension}"


def document_key(repository_id: int, name: str, version: str, store_uuid: str | None) -> str:
    """Return the key of one version of a document."""
    label = f"{version}~{store_uuid}" if store_uuid else version
    return f"{COMPANY_ID}/{repository_id}/{name}/{label}"


def generated_prefixes(file_version_id: int) -> tuple[str, ...]:
    """Return the key prefixes under which the generated files of one version lie."""
    return (
        f"{COMPANY_ID}/0/document_thumbnail/{file_version_id}.png/",
        f"{COMPANY_ID}/0/document_preview/{file_version_id}/",
        f"{COMPANY_ID}/0/adaptive/preview-1000x0/{file_version_id}/",
        f"{COMPANY_ID}/0/adaptive/thumbnail-300x300/{file_version_id}/",
    )


def plan_documents(scale: LiferayScale) -> Iterator[PlannedDocument]:
    """Yield every document in the order of its id; the same for equal scales, in constant memory."""
    random = Random(f"{scale.seed}/library")
    prose = Prose(random)
    for number in range(scale.documents):
        yield _plan_document(scale, random=random, prose=prose, number=number)


def plan_objects(scale: LiferayScale) -> Iterator[PlannedObject]:
    """Yield every object of the library: versions, generated files and what a cache left behind."""
    for document in plan_documents(scale):
        for version in document.versions:
            yield version.document
            yield from version.generated
    random = Random(f"{scale.seed}/cache")
    for number in range(max(2, scale.documents // 60)):
        repository_id = (REPOSITORY_ID, SECOND_REPOSITORY_ID)[number % 2]
        yield PlannedObject(
            key=f"{COMPANY_ID}/{repository_id}/.cache/{number:04x}.bin",
            size_bytes=random.randrange(2_048, 20_000),
            content_type="application/octet-stream",
            role=ObjectRole.CACHE,
        )


def next_file_name(scale: LiferayScale) -> int:
    """Return the number that follows the last document's name; Liferay keeps it in ``counter``."""
    return FIRST_FILE_NAME + scale.documents


def _plan_document(scale: LiferayScale, *, random: Random, prose: Prose, number: int) -> PlannedDocument:
    # The two large files are the first document of each repository; the rest is spread seven to three.
    large = number < 2
    in_second = number == 1 if large else random.random() < 0.3
    repository_id = SECOND_REPOSITORY_ID if in_second else REPOSITORY_ID
    extension, content_type = ("zip", "application/zip") if large else _choose_kind(random)
    name = str(FIRST_FILE_NAME + number)
    first_id = DOCUMENT_FIRST_ID + number * IDS_PER_DOCUMENT
    user = random.randrange(STAFF)
    chance = random.random()
    labels = ["1.0"] if large or chance < 0.78 else ["1.0", "1.1"] if chance < 0.94 else ["1.0", "1.1", "2.0"]
    has_store_uuid = random.random() < 0.4
    described = random.random() < 0.2
    versions: list[PlannedVersion] = []
    for index, label in enumerate(labels):
        store_uuid = random_uuid(random) if has_store_uuid else None
        document = PlannedObject(
            key=document_key(repository_id, name, label, store_uuid),
            size_bytes=scale.large_file_bytes if large else _choose_size(random, extension),
            content_type=content_type,
            role=ObjectRole.DOCUMENT,
            metadata=_metadata(scale, user=user, label=label) if described else {},
        )
        file_version_id = first_id + 1 + index
        generated = tuple(_plan_generated(random, file_version_id, extension)) if label == labels[-1] else ()
        versions.append(PlannedVersion(file_version_id, label, store_uuid, document, generated))
    return PlannedDocument(
        file_entry_id=first_id,
        repository_id=repository_id,
        folder_id=random.choice((0, *FOLDERS[repository_id])),
        name=name,
        title=f"{prose.title(random.randrange(2, 6))} {number}",
        extension=extension,
        content_type=content_type,
        user_id=STAFF_FIRST_ID + user,
        uuid=random_uuid(random),
        versions=tuple(versions),
    )


def _plan_generated(random: Random, file_version_id: int, extension: str) -> Iterator[PlannedObject]:
    if extension not in _PREVIEWED:
        return
    thumbnail, preview, *adaptive = generated_prefixes(file_version_id)
    keys: list[str] = []
    if random.random() < 0.25:
        keys.append(f"{thumbnail}1.0")
    if random.random() < 0.05:
        keys += [f"{preview}{page}.png/1.0" for page in range(1, 4)]
    if extension in {"jpg", "png"} and random.random() < 0.3:
        keys += [f"{prefix}image.{extension}/1.0" for prefix in adaptive]
    for key in keys:
        content_type = "image/jpeg" if key.endswith(".jpg/1.0") else "image/png"
        yield PlannedObject(key, random.randrange(2_048, 24_000), content_type, ObjectRole.GENERATED)


def _choose_kind(random: Random) -> tuple[str, str]:
    (extension, content_type, _share), *_ = random.choices(_KINDS, [share for *_, share in _KINDS])
    return extension, content_type


def _choose_size(random: Random, extension: str) -> int:
    size = _MEDIAN * random.lognormvariate(0, _SIGMA) * (8 if extension == "mp4" else 1)
    return min(max(int(size), _SMALLEST), _LARGEST_COMMON)


def _metadata(scale: LiferayScale, *, user: int, label: str) -> dict[str, str]:
    person = staff_member(scale, user)
    return {"uploaded-by": person.screen_name, "liferay-version": label}


def staff_member(scale: LiferayScale, user: int) -> Person:
    """Return the invented person behind a staff user (0 to ``STAFF`` - 1)."""
    return invent_person(Random(f"{scale.seed}/staff/{user}"), user)


def random_uuid(random: Random) -> str:
    """Return a version 4 UUID from a given source of randomness."""
    return str(UUID(bytes=random.randbytes(16), version=4))
