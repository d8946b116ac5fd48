"""What happens to a library of files: created, changed, renamed, retyped and deleted, under names of every kind."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

from lc2_backup_dagster.clouds.store import ObjectStore

KEYS = (
    "a/1", "a/2", "a/3", "a-b", "b/c/d", "public/1", "public/2", "public/größe.jpg", "a b+c%2F d.txt", "dots/...",
    "ümlaut/日本語/😀.bin", "e\u0301", "é", "quote\"'<&>.txt", "x" * 250, "back\\slash", "tab\tin it", "\u2028",
    "\U0010ffff", "\uffee",
)  # fmt: skip
"""Keys that every store of these tests can hold."""
KEYS_OF_A_DIRECTORY = ("line\nfeed", "control-\x01", "odd-\udcff", "odd-\udcff/\udc80", "cr\r")
KEYS_OF_A_BUCKET = ("a", "a/1/below", "public")
_TYPES = (None, "text/plain", "image/jpeg", "application/octet-stream")
_SIZES = (0, 1, 700, 3000, 5000, 70_000, 200_000)
"""Of files that are bundled, stored alone, and cut into parts (see the fixture ``small_sizes``)."""


@dataclass
class LibraryLife:
    """The files as their application sees them.

    Attributes:
        source: where they are.
        random: chooses files and contents.
        directory: of the source, where it is one.
    """

    source: ObjectStore
    random: Random
    directory: Path | None = None

    def __post_init__(self) -> None:
        self._keys = KEYS + (KEYS_OF_A_BUCKET if self.directory is None else KEYS_OF_A_DIRECTORY)

    def create(self) -> None:
        """Write some files anew, or over what is there."""
        for key in self.random.sample(self._keys, self.random.randint(1, 5)):
            self._write(key)

    def change(self) -> None:
        """Change some files; where it is a directory, also in place."""
        for key in self._some():
            size_bytes = self.source.stat(key).size_bytes
            if self.directory is not None and size_bytes and self.random.random() < 0.5:
                with (self.directory / key).open("r+b") as file:
                    file.write(self.random.randbytes(size_bytes))
            else:
                self._write(key, size_bytes if self.random.random() < 0.5 else None)

    def delete(self) -> None:
        """Remove some files."""
        self.source.delete(self._some())

    def rename(self) -> None:
        """Give a file the name of another, or a new one."""
        for key in self._some()[:2]:
            new = self.random.choice(self._keys)
            if new == key or self._hinders(new):
                continue
            if self.directory is not None:
                (self.directory / new).parent.mkdir(parents=True, exist_ok=True)
                (self.directory / key).rename(self.directory / new)
            else:
                size_bytes = self.source.stat(key).size_bytes
                self.source.copy_from(self.source, key, new, size_bytes=size_bytes)
                self.source.delete([key])

    def retype(self) -> None:
        """Write the same content with another type and other metadata."""
        for key in self._some():
            self._write(key, body=self.source.get(key))

    def _write(self, key: str, size_bytes: int | None = None, body: bytes | None = None) -> None:
        if self._hinders(key):
            return
        body = (
            self.random.randbytes(self.random.choice(_SIZES) if size_bytes is None else size_bytes)
            if body is None
            else body
        )
        self.source.put_stream(
            key, [body], size_bytes=len(body), create_only=False, content_type=self.random.choice(_TYPES),
            metadata=self.random.choice(({}, {"author": "somebody"}, {"a": "1", "b": "2"})),
        )  # fmt: skip

    def _hinders(self, key: str) -> bool:
        """Say whether a directory cannot hold a key beside what it holds."""
        if self.directory is None:
            return False
        path = self.directory / key
        return path.is_dir() or any(each.is_file() for each in path.parents)

    def _some(self) -> list[str]:
        there = sorted(found.key for found in self.source.list())
        return self.random.sample(there, min(len(there), self.random.randint(1, 4)))


STEPS = ("create", "change", "delete", "rename", "retype")
