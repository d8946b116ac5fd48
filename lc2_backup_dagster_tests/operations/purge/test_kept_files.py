"""What a backup kept for rows is referenced like everything it lists: no purge and no garbage collection takes it."""

from pathlib import Path

import pytest

from lc2_backup_dagster.engines.files.manifest.identity import files_prefix
from lc2_backup_dagster.model.errors import FormatNotSupported
from lc2_backup_dagster.operations.purge.collect_garbage import collect_garbage
from lc2_backup_dagster.operations.purge.files import purge_backups
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock
from lc2_backup_dagster_tests.operations.rows_site import RowsSite


@pytest.fixture
def site(tmp_path: Path) -> RowsSite:
    """A site whose source keeps no versions: what is kept is shared with the backup before."""
    return RowsSite(tmp_path, source=MemoryStore(SetClock(), url="memory://source"))


def purged(site: RowsSite, *backup_ids: str) -> None:
    site.repository.tell(RecordType.EXPIRE, initiator=TESTER, body={"backup_ids": list(backup_ids)})
    purge_backups(site.repository, backup_ids, initiator=TESTER)


def contents(site: RowsSite) -> list[str]:
    return [found.key for found in site.store.list(files_prefix(site.context.site))]


def test_the_backup_that_first_held_a_kept_file_may_go(site: RowsSite) -> None:
    site.add(big=b"x" * (2 << 20), small=b"22")
    first = site.capture()
    site.dump()
    site.drop("big")
    second = site.capture()
    point = site.bind()
    assert second.manifest.details["kept"]["from_backup"] == 1
    site.dump()
    third = site.capture()

    purged(site, first.backup.backup_id)
    collect_garbage(site.repository)

    assert site.restored(point.backup.backup_id) == {"big": b"x" * (2 << 20), "small": b"22"}
    assert site.restored(third.backup.backup_id) == {"small": b"22"}


def test_what_only_a_purged_backup_kept_goes_with_it(site: RowsSite) -> None:
    site.add(big=b"x" * (2 << 20), small=b"22")
    first = site.capture()
    dump = site.dump()
    site.drop("big")
    second = site.capture()
    point = site.bind()
    site.dump()
    third = site.capture()
    before = len(contents(site))

    purged(site, point.backup.backup_id, dump.backup_id, first.backup.backup_id, second.backup.backup_id)

    assert len(contents(site)) == before - 1
    assert site.restored(third.backup.backup_id) == {"small": b"22"}


def test_a_copied_version_is_no_garbage(tmp_path: Path) -> None:
    site = RowsSite(tmp_path)
    site.capture()
    site.add(brief=b"born and gone")
    site.dump()
    site.drop("brief")
    site.capture()
    point = site.bind()
    site.clock.move(days=30)
    collect_garbage(site.repository)
    assert site.restored(point.backup.backup_id) == {"brief": b"born and gone"}


def test_a_stream_that_nobody_knows_stops_a_purge(site: RowsSite, monkeypatch) -> None:
    site.add(a=b"1")
    first = site.capture()
    site.dump()
    site.drop("a")
    monkeypatch.setattr("lc2_backup_dagster.engines.files.keeping.keep.KEPT_STREAM", "of-a-newer-version")
    site.capture()
    with pytest.raises(FormatNotSupported, match="of-a-newer-version"):
        purged(site, first.backup.backup_id)
