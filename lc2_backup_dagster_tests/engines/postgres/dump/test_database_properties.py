"""What a database is created with, and its settings, come back with a restore."""

import pytest

from lc2_backup_dagster.engines.postgres.dump.database_properties import (
    DatabaseProperties,
    read_properties,
    setting_values,
)
from lc2_backup_dagster.engines.postgres.dump.new_database import new_database
from lc2_backup_dagster.engines.postgres.dump.restore import DumpOptions
from lc2_backup_dagster.model.errors import IntegrityError

SETTINGS = (
    'SET search_path TO shop, "Odd, ""Name""", public',
    "SET timezone TO 'Asia/Kolkata'",
    "SET my.own TO 'it''s = 1, 2'",
    "SET search_path TO ''",
)


def properties_of(server, name):
    with server.server(name).connect() as connection:
        return read_properties(connection)


def test_settings_and_locale_of_a_database_come_back(postgres):
    original, copy = "lc2_properties", "lc2_properties_copy"
    postgres.execute(f"CREATE DATABASE {original} TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'")
    try:
        for setting in SETTINGS[:3]:
            postgres.execute(f"ALTER DATABASE {original} {setting}")
        told = properties_of(postgres, original)
        assert told == DatabaseProperties.from_details(told.to_details())
        assert (told.provider, told.locale) == ("builtin", "C.UTF-8")
        with new_database(postgres.server(), copy, DumpOptions(properties=told)):
            pass
        assert properties_of(postgres, copy) == told
        shown = "SELECT current_setting('search_path'), current_setting('timezone'), current_setting('my.own')"
        with postgres.server(copy).connect() as connection:
            assert connection.execute(shown).fetchone() == (
                'shop, "Odd, ""Name""", public',
                "Asia/Kolkata",
                "it's = 1, 2",
            )
    finally:
        for name in (original, copy):
            postgres.execute(f"DROP DATABASE IF EXISTS {name}")


@pytest.mark.majors
@pytest.mark.parametrize("major", [13, 15, 16])
def test_properties_of_older_servers_are_taken_by_the_newest(major, postgres_of, postgres_18, make_database):
    server, copy = postgres_of(major), f"lc2_properties_{major}"
    database = make_database(server).database
    server.execute(f"ALTER DATABASE {database} {SETTINGS[3]}")
    told = properties_of(server, database)
    assert told.provider == ("libc" if major >= 15 else None)
    assert told.settings == {"search_path": '""'}
    try:
        with new_database(postgres_18.server(), copy, DumpOptions(properties=told)):
            pass
        assert properties_of(postgres_18, copy).settings == told.settings
    finally:
        postgres_18.execute(f"DROP DATABASE IF EXISTS {copy}")


def test_manifests_from_before_settings_were_kept_are_read():
    told = DatabaseProperties.from_details({"encoding": "UTF8", "collate": "C", "ctype": "C"})
    assert (told.provider, told.locale, told.settings) == (None, None, {})


def test_a_list_is_split_as_postgresql_reads_it_and_other_values_are_not():
    assert setting_values("search_path", 'a, "b, ""c""" ,d') == ["a", 'b, "c"', "d"]
    assert setting_values("search_path", '""') == setting_values("search_path", "") == [""]
    assert setting_values("DateStyle", "ISO, DMY") == ["ISO, DMY"]
    with pytest.raises(IntegrityError):
        setting_values("search_path", 'a, "b')
