"""What a database is created with and has set for itself; no dump of its tables holds it.

Source: PostgreSQL manual, ``CREATE DATABASE`` and ``ALTER DATABASE … SET``; ``pg_dump --create`` writes the same, but
under the original's name. Privileges on the database are its new owner's business, like those on everything in it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.model.errors import IntegrityError

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
# variable_is_guc_list_quote() of pg_dump: each value is a list of names, stored as they are quoted in SQL.
_LISTS = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)
_NAME = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",\s][^",]*?))\s*(?:,|$)')


@dataclass(frozen=True, slots=True)
class DatabaseProperties:
    """Properties of one database.

    Attributes:
        encoding: like ``UTF8``.
        collate: ``LC_COLLATE``.
        ctype: ``LC_CTYPE``.
        provider: ``libc``, ``icu`` or ``builtin``; None on servers before 15.
        locale: of the providers ``icu`` and ``builtin``, else None.
        icu_rules: rules beside an ICU locale, or None.
        settings: name → value of ``ALTER DATABASE … SET`` for all roles.
    """

    encoding: str
    collate: str
    ctype: str
    provider: str | None
    locale: str | None
    icu_rules: str | None
    settings: Mapping[str, str]

    def to_details(self) -> dict[str, Any]:
        """Return them as JSON values for a manifest."""
        return {
            "encoding": self.encoding,
            "collate": self.collate,
            "ctype": self.ctype,
            "locale_provider": self.provider,
            "locale": self.locale,
            "icu_rules": self.icu_rules,
            "settings": dict(self.settings),
        }

    @classmethod
    def from_details(cls, details: Mapping[str, Any]) -> "DatabaseProperties":
        """Read what ``to_details`` wrote; older manifests lack all but the first three."""
        return cls(
            encoding=details["encoding"],
            collate=details["collate"],
            ctype=details["ctype"],
            provider=details.get("locale_provider"),
            locale=details.get("locale"),
            icu_rules=details.get("icu_rules"),
            settings=details.get("settings", {}),
        )


def read_properties(connection: "psycopg.Connection[Any]") -> DatabaseProperties:
    """Return the properties of the database that is connected to."""
    row = connection.execute(
        """
        SELECT pg_encoding_to_char(d.encoding)::text, to_jsonb(d), coalesce(s.setconfig, '{}')
        FROM pg_database d LEFT JOIN pg_db_role_setting s ON s.setdatabase = d.oid AND s.setrole = 0
        WHERE d.datname = current_database()
        """
    ).fetchone()
    assert row is not None
    encoding, columns, settings = row
    letter = columns.get("datlocprovider")  # since 15
    return DatabaseProperties(
        encoding=encoding,
        collate=columns["datcollate"],
        ctype=columns["datctype"],
        provider=None if letter is None else _PROVIDERS.get(letter, letter),
        locale=columns.get("datlocale") or columns.get("daticulocale"),  # the latter before 17
        icu_rules=columns.get("daticurules"),  # since 16
        settings=dict(each.split("=", 1) for each in settings),
    )


def creation_clauses(properties: DatabaseProperties) -> "list[sql.Composed]":
    """Return what follows ``CREATE DATABASE <name> TEMPLATE template0``."""
    from psycopg import sql

    own_locale = sql.SQL("ICU_LOCALE {}" if properties.provider == "icu" else "BUILTIN_LOCALE {}")
    wanted = [
        (sql.SQL("ENCODING {}"), properties.encoding),
        (sql.SQL("LC_COLLATE {}"), properties.collate),
        (sql.SQL("LC_CTYPE {}"), properties.ctype),
        # Servers before 15 know no provider but this one, and not the word.
        (sql.SQL("LOCALE_PROVIDER {}"), properties.provider if properties.provider != "libc" else None),
        (own_locale, properties.locale),
        (sql.SQL("ICU_RULES {}"), properties.icu_rules),
    ]
    return [clause.format(sql.Literal(value)) for clause, value in wanted if value is not None]


def setting_statements(name: str, properties: DatabaseProperties) -> "list[sql.Composed]":
    """Return the statements that give a database its settings again."""
    from psycopg import sql

    statement = sql.SQL("ALTER DATABASE {} SET {} TO {}")
    return [
        statement.format(sql.Identifier(name), sql.Identifier(*setting.split(".")), sql.SQL(", ").join(values))
        for setting, value in properties.settings.items()
        if (values := [sql.Literal(each) for each in setting_values(setting, value)])
    ]


def setting_values(setting: str, value: str) -> list[str]:
    """Return the values of a setting: of a list of names each one, unquoted; of any other the whole text.

    Raises:
        IntegrityError: a list that PostgreSQL would not have stored.
    """
    if setting.lower() not in _LISTS:
        return [value]
    names: list[str] = []
    position = 0
    while position < len(value):
        match = _NAME.match(value, position)
        if match is None:
            raise IntegrityError(f"the setting {setting} of the database is no list of names: {value!r}")
        names.append(match[2] if match[1] is None else match[1].replace('""', '"'))
        position = match.end()
    return names or [""]
