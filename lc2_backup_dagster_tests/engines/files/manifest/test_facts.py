from dataclasses import replace

import pytest

from lc2_backup_dagster.clouds.store import PosixFacts, PosixKind
from lc2_backup_dagster.engines.files.manifest.facts import unset

WANTED = PosixFacts(PosixKind.FILE, 0o4755, 33, 1000, "www-data", None)


@pytest.mark.parametrize(
    ("changes", "ids", "told"),
    [
        ({}, (33, 1000), ""),
        ({"uid": 99, "user": "www-data"}, (99, 1000), ""),
        ({"uid": 7, "user": "alice", "mode": 0o755}, (33, 1000),
         "owner alice:1000 instead of www-data:1000, mode 0755 instead of 4755"),
        ({"gid": 7}, (33, 1000), "owner www-data:7 instead of www-data:1000"),
        ({"mode": 0}, (33, 1000), "mode 0000 instead of 4755"),
        ({"kind": PosixKind.SYMLINK, "mode": 0o777, "target": "b"}, (33, 1000), ""),
    ],
)  # fmt: skip
def test_what_could_not_be_set_is_said_in_words(changes: dict, ids: tuple[int, int], told: str) -> None:
    wanted = WANTED
    if changes.get("kind") is PosixKind.SYMLINK:
        wanted = replace(WANTED, kind=PosixKind.SYMLINK, target="b")

    assert unset(wanted, replace(WANTED, **changes), ids=ids) == told
