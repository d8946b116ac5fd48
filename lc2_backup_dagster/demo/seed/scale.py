"""How large a seed is, and the ids that database rows and stored objects share."""

from dataclasses import dataclass

COMPANY_ID = 20097
"""The virtual instance: first part of every key of the library."""

REPOSITORY_ID = 20121
"""The site "Intranet" (a group is its own default repository): the demo protects it by ``client``."""

SECOND_REPOSITORY_ID = 41305
"""The site "Media Centre": the demo protects the prefix ``{COMPANY_ID}/{SECOND_REPOSITORY_ID}/`` by ``store``."""

STAFF_FIRST_ID = 20140
STAFF = 24
"""Users who own documents: ids from ``STAFF_FIRST_ID``."""

DOCUMENT_FIRST_ID = 50_000
IDS_PER_DOCUMENT = 10
CONTENT_FIRST_ID = 1_000_000
"""Ids of everything that grows with the database's size begin here, above those of the library."""


@dataclass(frozen=True, slots=True)
class LiferayScale:
    """What to make. Equal scales make equal databases and libraries, byte for byte.

    Attributes:
        seed: changes everything that is random.
        size_bytes: least size of the database as ``pg_database_size`` says it, without ``incompressible_bytes``.
        documents: entries of the document library; about 1.8 objects each, generated files among them.
        large_file_bytes: size of the two large files, one in each repository.
        incompressible_bytes: random bytes in ``acme_attachment``, for benchmarks.
    """

    seed: int = 20417
    size_bytes: int = 200 * 1024 * 1024
    documents: int = 3_200
    large_file_bytes: int = 50 * 1024 * 1024
    incompressible_bytes: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.documents <= (CONTENT_FIRST_ID - DOCUMENT_FIRST_ID) // IDS_PER_DOCUMENT:
            raise ValueError(f"documents must lie between 2 and 95,000, not {self.documents}")
        if min(self.size_bytes, self.large_file_bytes, self.incompressible_bytes) < 0:
            raise ValueError("sizes cannot be negative")
