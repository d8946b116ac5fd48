import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lc2_backup_dagster_tests.formats.freeze import KEY_FILE, freeze
from lc2_backup_dagster_tests.repository.kit.running import run_kit


class Sample:
    """A repository that today's code wrote, with everything in it."""

    def __init__(self, directory: Path) -> None:
        self.repository = directory / "repository"
        self.key_file = directory / KEY_FILE
        self.script = self.repository / "kit/0.1.0/restore.py"
        self.expected: dict[str, Any] = json.loads((directory / "expected.json").read_text(encoding="ascii"))

    def backup(self, site: str, component: str, *, index: int = 0) -> str:
        backups = self.expected["sites"][site]["backups"]
        return [name for name, each in backups.items() if each["component"] == component][index]

    def run(self, command: str, *arguments: object, site: str = "retail/liferay", key: bool = True) -> Any:
        secret = ["--key-file", self.key_file] if key else []
        return run_kit(self.script, command, self.repository, *map(str, arguments), "--site", site, *secret)


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Shared: do not change it."""
    directory = tmp_path_factory.mktemp("kit") / "sample"
    freeze(directory)
    return Sample(directory)


@pytest.fixture
def damaged(pristine: Sample, tmp_path: Path) -> Callable[..., Sample]:
    """Return a copy in which one object was changed: ``damaged(key, change)``; ``None`` removes it."""
    import shutil

    def damage(key: str, change: Callable[[bytes], bytes] | None) -> Sample:
        directory = tmp_path / "copy"
        shutil.copytree(pristine.repository.parent, directory, copy_function=_link)
        path = directory / "repository" / key
        body = path.read_bytes()
        path.unlink()
        if change:
            path.write_bytes(change(body))
        return Sample(directory)

    return damage


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)
