"""Where configuration lies: the table ``config`` of a Drupal, or a directory of YAML files.

Both are read whole into one mapping, ``(collection, name)`` → value; a Drupal has some hundred objects. The collection
``language.de`` is the directory ``language/de``.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import psycopg

from lc2_backup_dagster.demo.drush.symfony_yaml import dump, load
from lc2_backup_dagster.demo.seed.php_values import PhpValue, serialize, unserialize

Key: TypeAlias = tuple[str, str]
"""Collection (empty for the default one) and name."""

Objects: TypeAlias = Mapping[Key, Mapping[str | int, PhpValue]]
Connection: TypeAlias = "psycopg.Connection[Any]"

DEFAULT = ""
_ENDING = ".yml"


class StorageError(Exception):
    """Configuration cannot be read; the message is drush's."""


def read_database(connection: Connection) -> Objects:
    """Return the active configuration, ordered by collection and name.

    Raises:
        StorageError: an object is no serialised array.
    """
    found: dict[Key, Mapping[str | int, PhpValue]] = {}
    rows = connection.execute(
        'select collection, name, data from config order by collection collate "C", name collate "C"'
    )
    for collection, name, data in rows:
        try:
            found[collection, name] = _array(unserialize(data))
        except (ValueError, TypeError) as error:
            raise StorageError(f"The configuration object {name} in the database cannot be read: {error}") from error
    return found


def write_database(connection: Connection, objects: Objects, *, written: Iterable[Key], deleted: Iterable[Key]) -> None:
    """Write some objects to the table and delete others; inside of the caller's transaction."""
    for collection, name in deleted:
        connection.execute("delete from config where collection = %s and name = %s", (collection, name))
    for key in written:
        connection.execute(
            "insert into config (collection, name, data) values (%s, %s, %s) "
            "on conflict (collection, name) do update set data = excluded.data",
            (*key, serialize(objects[key])),
        )


def read_directory(directory: Path) -> Objects:
    """Return the objects of a directory, ordered by collection and name; other files than YAML are not looked at.

    Raises:
        StorageError: a file holds no YAML, or no mapping.
    """
    found: dict[Key, Mapping[str | int, PhpValue]] = {}
    for collection, folder in _folders(directory):
        for file in sorted(folder.glob(f"*{_ENDING}")):
            name = file.name.removesuffix(_ENDING)
            try:
                found[collection, name] = _array(load(file.read_bytes()))
            except (ValueError, TypeError) as error:
                raise StorageError(f"Invalid data type in config {name}, found in file {file}: {error}") from error
    return found


def write_directory(directory: Path, objects: Objects) -> None:
    """Write every object to its file."""
    for (collection, name), value in objects.items():
        folder = directory.joinpath(*collection.split(".")) if collection else directory
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}{_ENDING}").write_bytes(dump(value))


def empty_directory(directory: Path) -> None:
    """Delete the YAML files of a directory and of its collections, and nothing else (``.git``, ``.htaccess``)."""
    for collection, folder in reversed(list(_folders(directory))):
        for file in folder.glob(f"*{_ENDING}"):
            file.unlink()
        if collection and not any(folder.iterdir()):
            folder.rmdir()


def _folders(directory: Path) -> Iterator[tuple[str, Path]]:
    yield DEFAULT, directory
    for folder in sorted(path for path in directory.rglob("*") if path.is_dir()):
        parts = folder.relative_to(directory).parts
        if not any(part.startswith(".") for part in parts):
            yield ".".join(parts), folder


def _array(value: PhpValue) -> Mapping[str | int, PhpValue]:
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportReturnType]  both kinds of keys are keys of PHP
    if isinstance(value, list):
        return dict(enumerate(value))
    raise TypeError("it holds no mapping")
