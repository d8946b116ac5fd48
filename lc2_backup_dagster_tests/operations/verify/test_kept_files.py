"""What a backup kept for rows is verified like everything it lists."""

from pathlib import Path

from lc2_backup_dagster.operations.verify.files import FilesWish, verify_files_of, verify_library
from lc2_backup_dagster_tests.operations.rows_site import RowsSite


def test_damage_of_a_kept_file_is_found_and_told_with_the_backup_that_needs_it(tmp_path: Path) -> None:
    site = RowsSite(tmp_path)
    site.add(stays=b"1")
    site.capture()
    site.add(brief=b"x" * (2 << 20))
    site.dump()
    site.drop("brief")
    files = site.capture()
    (stored,) = [key for key, (body, _) in site.store.objects.items() if key.startswith("files/") and b"x" in body[20:]]
    assert not verify_library(site.context, FilesWish()).damages

    body, info = site.store.objects[stored]
    site.store.objects[stored] = (body[:-1] + b"?", info)

    for found in (
        verify_library(site.context, FilesWish()),
        verify_files_of(site.context, files.backup.backup_id, FilesWish()),
    ):
        (damage,) = found.damages
        assert (damage.backup_id, damage.key, list(damage.affected)) == (files.backup.backup_id, stored, ["brief"])
