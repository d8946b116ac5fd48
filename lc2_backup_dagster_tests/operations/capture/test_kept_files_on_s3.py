"""R-26 on real servers: PostgreSQL and a bucket with versions, while Liferay is used between dump and listing."""

import random
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.demo.seed.liferay_changes import make_changes
from lc2_backup_dagster.demo.seed.liferay_library import seed_liferay_library
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.bind_recovery_point import bind_recovery_point
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster.operations.capture.files import capture_site_files, file_entries
from lc2_backup_dagster.operations.capture.row_references import row_references
from lc2_backup_dagster.operations.purge.files import purge_backups
from lc2_backup_dagster.operations.restore.request import RestoreRequest
from lc2_backup_dagster.operations.restore.run import restore
from lc2_backup_dagster.operations.verify.verify import verify_backup
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.tiny_site import (
    OWNER,
    OWNER_PASSWORD,
    SCALE,
    TinySite,
    an_s3_site,
    copy_database,
    drop_database,
    open_window,
)


class UsedSite:
    """A site of its own on real servers, and the application that works on."""

    def __init__(self, site: TinySite, library: S3Store) -> None:
        self.site = site
        self.library = library
        self.context = site.context
        self._random = random.Random(7)

    def capture(self, verb: Callable[..., Captured] = capture_site_files) -> Captured:
        day = open_window(WindowLength.DAILY)
        return verb(self.context, window=day, asked_at=datetime.now(UTC), initiator=TESTER)

    def unseen_by(self, backup: Captured) -> set[str]:
        """Return the keys that the library has and a backup has not."""
        with file_entries(self.context.open_repository(False), backup.backup.backup_id) as entries:
            return {found.key for found in self.library.list()} - {entry.key for entry in entries}

    def use(self, **how_often: int):
        server = self.site.postgres.server(self.site.database.database, user=OWNER, password=OWNER_PASSWORD)
        with server.connect() as connection:
            return make_changes(connection, self.library, random=self._random, **how_often)


@pytest.fixture
def used(postgres, tiny_template, make_bucket, s3_access, s3_connection, tmp_path) -> Iterator[Callable[..., UsedSite]]:
    names: list[str] = []

    def make(*, versioning: bool, **fields: object) -> UsedSite:
        name = f"tiny_{secrets.token_hex(4)}"
        names.append(name)
        copy_database(postgres, name)
        library = make_bucket(versioning=versioning)
        buckets = {"backups": make_bucket(), "library": library, "restored": make_bucket()}
        site = an_s3_site(tmp_path / name, postgres, database=name, buckets=buckets, access=s3_access, **fields)
        store = S3Store(s3_connection, library)
        seed_liferay_library(store, SCALE)
        return UsedSite(site, store)

    yield make
    for name in names:
        drop_database(postgres, name)
        drop_database(postgres, f"{name}_back")


def content_of(store: ObjectStore) -> dict[str, bytes]:
    return {found.key: store.get(found.key) for found in store.list()}


def test_every_row_of_a_point_has_its_file_as_it_was_although_the_site_was_used_meanwhile(used) -> None:
    site: UsedSite = used(versioning=True)
    first = site.capture()
    site.use(add=6, replace=4, delete=2)
    dump = site.capture(capture_database_dump)
    truth = content_of(site.library)
    # Documents of before the first backup go, documents that no backup has seen go, and one is replaced in place.
    gone = site.use(add=2, replace=3, delete=12)
    overwritten = next(key for key in sorted(truth) if key.endswith("1.0") and key not in gone.deleted)
    site.library.put(overwritten, b"written over", create_only=False)
    born = next(key for key in sorted(truth) if key in site.unseen_by(first))
    site.library.delete([born])
    files = site.capture()
    point = bind_recovery_point(site.context, window=open_window(WindowLength.DAILY), initiator=TESTER)

    kept, match = files.manifest.details["kept"], point.manifest.details["row_match"]
    assert (match["dangling_count"], match["size_mismatch_count"]) == (0, 0)
    assert kept["from_backup"] > 0 and kept["from_versions"] > 0
    assert all(not each.damages for each in verify_backup(site.context, point.backup.backup_id))

    repository = site.context.open_repository(False)
    expired = {"backup_ids": [first.backup.backup_id]}
    repository.tell(RecordType.EXPIRE, initiator=TESTER, body=expired)
    purge_backups(repository, expired["backup_ids"], initiator=TESTER)

    request = RestoreRequest(point.backup.backup_id, target_database=f"{site.site.database.database}_back")
    restored = restore(site.context, request, now=datetime.now(UTC), initiator=TESTER)
    assert restored.plan.files is not None and restored.files is not None
    back = content_of(site.context.restore.open_files_target(None, restored.plan.files.prefix))
    assert restored.plan.files.objects == restored.files.written == len(back)
    with row_references(repository, dump.manifest, is_selected=site.context.files.is_selected) as references:
        named = {each.key for each in references}
    assert named and {key: back[key] for key in named} == {key: truth[key] for key in named}


def test_without_versions_only_what_was_born_and_deleted_between_two_captures_is_missing(used) -> None:
    site: UsedSite = used(versioning=False, policies__danglingRowsLimitShare=1.0)
    first = site.capture()
    site.use(add=6, replace=4, delete=2)
    site.capture(capture_database_dump)
    unseen = site.unseen_by(first)
    gone = site.use(add=2, replace=3, delete=20)
    files = site.capture()
    point = bind_recovery_point(site.context, window=open_window(WindowLength.DAILY), initiator=TESTER)
    match = point.manifest.details["row_match"]
    lost = {key for key in gone.deleted if key in unseen and not site.context.files.is_generated(key)}
    assert lost and {line.partition(" (")[0] for line in match["dangling"]} == lost
    assert match["nobody_has"] == match["dangling_count"] == len(lost)
    assert files.manifest.details["kept"]["from_versions"] == 0
    assert files.manifest.details["kept"]["from_backup"] > 0
