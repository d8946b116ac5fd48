"""Rows on their way into a table, and the small values that many tables share."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

_BEGIN = datetime(2019, 1, 7)  # noqa: DTZ001  Liferay's columns are timestamps without zone, in UTC by convention
_SPAN_SECONDS = 7 * 365 * 86_400

CLASS_NAMES = {
    20_002: "com.liferay.portal.kernel.model.Company",
    20_003: "com.liferay.portal.kernel.model.User",
    20_004: "com.liferay.portal.kernel.model.Group",
    20_005: "com.liferay.portal.kernel.model.Organization",
    20_006: "com.liferay.portal.kernel.model.Role",
    20_007: "com.liferay.portal.kernel.model.Layout",
    20_008: "com.liferay.document.library.kernel.model.DLFileEntry",
    20_009: "com.liferay.document.library.kernel.model.DLFolder",
    20_010: "com.liferay.journal.model.JournalArticle",
    20_011: "com.liferay.journal.model.JournalFolder",
    20_012: "com.liferay.message.boards.model.MBMessage",
    20_013: "com.liferay.message.boards.model.MBThread",
    20_014: "com.liferay.dynamic.data.mapping.model.DDMStructure",
    20_015: "com.liferay.portal.kernel.model.Contact",
    20_016: "com.liferay.portal.repository.liferayrepository.LiferayRepository",
}
CLASS_NAME_IDS = {value.rsplit(".", 1)[1]: number for number, value in CLASS_NAMES.items()}
"""Mapping of a class's short name → ``classNameId``."""


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows for some columns of one table, to be read once, in order.

    Attributes:
        table: name of the table.
        columns: names of the columns, separated by blanks.
        rows: one tuple per row, values in the order of the columns.
    """

    table: str
    columns: str
    rows: Iterable[tuple[object, ...]]


def random_time(random: Random) -> str:
    """Return a moment between 2019 and 2025 as PostgreSQL reads it."""
    return str(_BEGIN + timedelta(seconds=random.randrange(_SPAN_SECONDS), milliseconds=random.randrange(1000)))


def password_hash(random: Random) -> str:
    """Return what a stored password looks like; no password leads to it."""
    return f"PBKDF2WithHmacSHA1/160/1300000/{random.randbytes(30).hex()}"


def random_address(random: Random) -> str:
    """Return an IPv4 address."""
    return ".".join(map(str, random.randbytes(4)))
