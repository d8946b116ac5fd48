"""A ``write`` that keeps streams in files, for tests of capture and restore."""

import io
from pathlib import Path

from lc2_backup_dagster.repository.parts import Part, Stream, SupportsRead


class FileStreams:
    """Writes every stream to ``<directory>/<name>``; ``before_chunk`` may break things on the way."""

    def __init__(self, directory: Path, *, before_chunk=None):
        self.directory = directory
        self.before_chunk = before_chunk
        self.completed: list[str] = []
        self.started: list[str] = []

    def __call__(self, name: str, source: SupportsRead) -> Stream:
        self.started.append(name)
        size = 0
        with self.path(name).open("wb") as file:
            while chunk := source.read(256 * 1024):
                if self.before_chunk:
                    self.before_chunk(name, size)
                size += file.write(chunk)
        self.completed.append(name)
        return Stream(name, (Part(size, size, "", ""),))

    def path(self, name: str) -> Path:
        return self.directory / name

    def open(self, name: str):
        return self.path(name).open("rb")

    def open_range(self, name: str, start: int, end: int):
        with self.path(name).open("rb") as file:
            file.seek(start)
            return io.BytesIO(file.read(end - start))
