"""What the demo compares of a site that never stands still: it finds what is wrong, and nothing else."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.clouds.prefixed import PrefixedStore
from lc2_backup_dagster.demo.live import journal
from lc2_backup_dagster.demo.live.comparison import RestoredSite, compare_living, wait_for_life
from lc2_backup_dagster.demo.live.writer import write_until
from lc2_backup_dagster.demo.sites.liferay import LIFERAY
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.bind_recovery_point import bind_recovery_point
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster.operations.capture.files import capture_site_files
from lc2_backup_dagster.operations.restore.request import RestoreRequest
from lc2_backup_dagster.operations.restore.run import restore
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.fixtures_chains import ChainSite, archived_until, receiving
from lc2_backup_dagster_tests.operations.tiny_site import OWNER, OWNER_PASSWORD, drop_database, open_window, until

NAME = "live_restored"


@dataclass(frozen=True)
class Living:
    """A site that is changed all the time, and what was restored of it."""

    site: ChainSite
    restored: RestoredSite

    @property
    def database(self) -> Server:
        return self.site.postgres.server(NAME)

    def differences(self) -> dict[str, list[str]]:
        found = compare_living(self.restored)
        return {label: [str(each) for each in one.found] for label, one in found.items()}


@contextmanager
def changing(site: ChainSite, owner: Server) -> Iterator[None]:
    """Let people change the site five times a second while the block runs."""
    stopping = threading.Event()
    writer = threading.Thread(
        target=write_until,
        args=(stopping, owner, DirectoryStore(site.site.library)),
        kwargs={"change": LIFERAY.moment, "random": random.Random(3), "pause": lambda: 0.2},
    )
    writer.start()
    try:
        yield
    finally:
        stopping.set()
        writer.join()


@pytest.fixture
def living(wal_liferay: ChainSite) -> Iterator[Living]:
    tiny = wal_liferay.site.changed(wal_liferay.site.root, policies__danglingRowsLimitShare=0.5)
    site = ChainSite(tiny, wal_liferay.postgres)
    context = tiny.context
    owner = site.postgres.server(tiny.database.database, user=OWNER, password=OWNER_PASSWORD)
    with receiving(site), changing(site, owner):
        known = wait_for_life(owner)
        site.capture()
        window = open_window(WindowLength.DAILY)
        asked = {"window": window, "asked_at": datetime.now(UTC), "initiator": TESTER}
        capture_database_dump(context, **asked)
        capture_site_files(context, **asked)
        point = bind_recovery_point(context, window=window, initiator=TESTER).backup.backup_id
        wanted = RestoreRequest(point, target_database=NAME, files_prefix="live/")
        restore(context, wanted, now=datetime.now(UTC), initiator=TESTER)
        archived_until(site)
        yield Living(
            site,
            RestoredSite(
                context=context,
                point=point,
                source=owner,
                database=site.postgres.server(NAME),
                files=PrefixedStore(DirectoryStore(tiny.restored), "live/"),
                known_before=known,
                versioned=False,
            ),
        )
    drop_database(site.postgres, NAME)


def test_a_restore_of_a_living_site_is_proven_row_by_row_and_file_by_file(living: Living):
    before = compare_living(living.restored)
    assert all(each.equal for each in before.values()), {label: each.text() for label, each in before.items()}
    assert before["document library"].compared["objects changed since"]
    assert before["document library"].compared["rows that name files"] >= 60
    assert before["database"].compared["large objects"]

    with living.database.connect() as connection:
        end = journal.journal_end(connection)
        assert end is not None
        connection.execute("update user_ set comments = 'not so' where userid = (select min(userid) from user_)")
        (named,) = connection.execute(
            "select f.key from lc2_live.change_file f where f.after is not null and f.before is null "
            "and f.key not like %s and not exists (select from lc2_live.change_file g where g.key = f.key "
            "and g.after is null) order by f.number limit 1",
            ("%/0/%",),
        ).fetchone() or (None,)
    assert named is not None

    def deleted_since() -> set[str]:
        """Files that rows of the restored database name, and that are gone from the source by now."""
        with living.restored.source.connect() as source, living.database.connect() as restored:
            gone = [key for key, had in journal.contents_since(source, end.number).items() if None in had]
            query = living.restored.context.application.file_reference_sql
            assert query is not None
            return {key for key, _, _ in restored.execute(query.encode()).fetchall()} & set(gone) - {named}

    until(lambda: bool(deleted_since()), what="a file that a row names was deleted")
    lost = deleted_since().pop()
    store = living.restored.files
    kept = [info.key for info in store.list() if info.key not in (named, lost)]
    store.delete([named, lost])
    store.put(kept[0], b"rotten", create_only=False)
    found = living.differences()
    files = found["document library"]
    assert any("differs in comments" in each for each in found["database"]), found
    assert any(f"names {named}, which was not restored" in each for each in files), found
    assert any(kept[0] in each for each in files), found
    assert not any(lost in each for each in files), "it may have been gone when the files were listed"
    strict = compare_living(replace(living.restored, versioned=True))
    assert any(f"names {lost}, which was not restored" in str(each) for each in strict["document library"].found)

    late = replace(living.restored, known_before=end.number + 1)
    assert "journal of the restored database" in str(compare_living(late)["database"].found[0])
