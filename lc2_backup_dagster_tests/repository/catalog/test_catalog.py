"""The catalog against a real PostgreSQL: projecting, rebuilding, listing, noticing a log that was cut off."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from lc2_backup_dagster.model.errors import CatalogUnavailable, ConfigurationError, Fenced, LogCorrupt
from lc2_backup_dagster.model.site import BackupKind, Component, SiteId
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.catalog import BackupStatus, Catalog
from lc2_backup_dagster.repository.record import Initiator, RecordType
from lc2_backup_dagster_tests.builders import TESTER, a_backup, a_draft, a_moment, a_repository
from lc2_backup_dagster_tests.fakes import DyingStore, MemoryStore, SetClock
from lc2_backup_dagster_tests.repository.catalog.queries import all_records, execute, wait_until_blocked


@pytest.fixture
def repository(store, site, key, clock):
    return a_repository(store, site, wrapper=key, clock=clock)


def tell(repository, type: RecordType, **body: object) -> None:
    repository.tell(type, initiator=TESTER, body=body)


def test_a_committed_backup_shows_every_field_of_its_commit(catalog, repository, clock):
    begin = clock.now()
    with repository.begin(Component.DATABASE, window=None, initiator=Initiator("alice", "ui", "run-7")) as attempt:
        clock.move(seconds=90)
        stream = attempt.write_stream("base.tar", _bytes(b"text " * 1000))
        summary = {"server_version": "17.10", "tool_version": "17.10", "tables": 412}
        committed = attempt.commit(a_draft(streams=(stream,), summary=summary, moment=a_moment(2)))
    assert catalog.project(repository) == 2
    (found,) = catalog.backups()
    assert (found.repository_id, found.site) == (repository.repository_id, repository.site)
    assert (found.backup_id, found.sequence, found.manifest_sha256) == (
        committed.backup_id,
        2,
        committed.manifest_sha256,
    )
    assert (found.component, found.kind, found.parent) == (Component.DATABASE, BackupKind.FULL, None)
    assert (found.window, found.status, found.holds) == ("2026-11-23-02:00", BackupStatus.COMMITTED, ())
    assert (found.started, found.finished, found.seconds) == (begin, begin + timedelta(seconds=90), 90.0)
    assert found.committed_at == clock.now()
    assert found.plain_bytes == 5000
    assert found.stored_bytes == stream.stored_bytes
    assert found.restorable_from == found.restorable_until == datetime(2026, 11, 23, 2, 0, 1, tzinfo=UTC)
    assert (found.lsn, found.strategy, found.key_id) == ("0/3000028", "full", "data-1")
    assert (found.server_version, found.tool_version) == ("17.10", "17.10")
    assert found.initiator == committed.initiator
    assert found.summary == committed.summary


def _bytes(content: bytes):
    from io import BytesIO

    return BytesIO(content)


def test_projecting_again_takes_only_what_is_new(catalog, repository, store):
    a_backup(repository)
    assert catalog.project(repository) == 2
    assert catalog.project(repository) == 0
    a_backup(repository)
    read: list[str] = []
    original = store.get
    store.get = lambda name, **range: (read.append(name), original(name, **range))[1]
    assert catalog.project(repository) == 2
    assert sorted(set(read)) == [layout.log_key(repository.site, sequence) for sequence in (2, 3, 4)]
    assert len(catalog.backups()) == 2


def test_the_audit_trail_holds_every_record_with_who_and_when(catalog, repository, shared_url):
    backup = a_backup(repository)
    tell(repository, RecordType.REFUSE, reason="bad request")
    catalog.project(repository)
    rows = all_records(shared_url)
    assert [row["type"] for row in rows] == ["begin", "commit", "refuse"]
    assert {row["actor"] for row in rows} == {"tester"}
    assert rows[1]["body"]["attempt"] == backup.backup_id
    assert [row["sha256"] for row in rows] == [record.sha256 for record in repository.log.records()]


def test_expired_backups_leave_the_list_and_come_back_and_purged_ones_are_gone(catalog, repository):
    first, second = a_backup(repository), a_backup(repository)
    tell(repository, RecordType.EXPIRE, backup_ids=[first.backup_id])
    catalog.project(repository)
    assert [each.backup_id for each in catalog.backups()] == [second.backup_id]
    (expired,) = catalog.backups(status=BackupStatus.EXPIRED)
    assert expired.expired_at is not None
    tell(repository, RecordType.UNDELETE, backup_ids=[first.backup_id])
    catalog.project(repository)
    assert len(catalog.backups()) == 2
    tell(repository, RecordType.EXPIRE, backup_ids=[first.backup_id])
    tell(repository, RecordType.PURGE, backup_ids=[first.backup_id])
    catalog.project(repository)
    assert [each.backup_id for each in catalog.backups(status=None)] == [second.backup_id]


def test_an_attempt_that_began_in_one_projection_may_commit_in_the_next(catalog, repository):
    with repository.begin(Component.FILES, window=None, initiator=TESTER) as attempt:
        catalog.project(repository)
        assert catalog.backups() == []
        attempt.commit(a_draft())
    catalog.project(repository)
    assert [each.component for each in catalog.backups()] == [Component.FILES]


def test_lists_are_filtered_and_newest_first(catalog, store, key, clock):
    made = {}
    for name in ("retail/liferay", "retail/drupal", "bank/liferay"):
        repository = a_repository(store, SiteId.parse(name), wrapper=key, clock=clock)
        for hour in (2, 3):
            clock.move(hours=1)
            made[name, hour] = a_backup(repository, moment=a_moment(hour), kind=BackupKind.FULL).backup_id
        made[name, "dump"] = a_backup(
            repository, component=Component.DATABASE_DUMP, kind=BackupKind.DUMP, moment=a_moment(4)
        ).backup_id
        catalog.project(repository)

    def ids(**filters: object) -> list[str]:
        return [each.backup_id for each in catalog.backups(**filters)]

    assert ids() == list(reversed(made.values()))
    assert ids(limit=2) == list(reversed(made.values()))[:2]
    assert ids(limit=None) == ids()
    assert set(ids(project="retail")) == {made[key] for key in made if key[0].startswith("retail")}
    assert set(ids(application="liferay")) == {made[key] for key in made if key[0].endswith("liferay")}
    assert ids(project="retail", application="drupal", component=Component.DATABASE_DUMP) == [
        made["retail/drupal", "dump"]
    ]
    assert set(ids(kind=BackupKind.DUMP)) == {made[key] for key in made if key[1] == "dump"}
    at = datetime(2026, 11, 23, 3, tzinfo=UTC)
    assert set(ids(since=at)) == {made[key] for key in made if key[1] != 2}
    assert set(ids(until=at)) == {made[key] for key in made if key[1] == 2}
    assert ids(since=at, until=at) == []
    with pytest.raises(ConfigurationError, match="has no time zone"):
        catalog.backups(since=at.replace(tzinfo=None))


def test_text_that_postgresql_cannot_hold_does_not_stop_the_projection(catalog, repository, shared_url):
    with (
        pytest.raises(ValueError, match="broke"),
        repository.begin(Component.FILES, window=None, initiator=TESTER),
    ):
        raise ValueError("file \0 broke")
    catalog.project(repository)
    assert all_records(shared_url)[-1]["body"]["reason"] == "ValueError: file \ufffd broke"


def test_projections_at_once_wait_for_each_other(shared_url, catalog, store, site, key, clock):
    repositories = [a_repository(store, site, wrapper=key, clock=clock) for _ in range(4)]
    for _ in range(20):
        a_backup(repositories[0])

    def project(repository) -> int:
        with Catalog(shared_url) as mine:
            return mine.project(repository)

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(project, repositories))
    assert sorted(counts) == [0, 0, 0, 40]
    assert len(catalog.backups()) == 20


def test_a_projection_waits_for_one_that_is_under_way(shared_url, catalog, store, site, key, clock, monkeypatch):
    first, second = (a_repository(store, site, wrapper=key, clock=clock) for _ in range(2))
    a_backup(first)
    catalog.project(first)
    a_backup(first)
    under_way, go_on = threading.Event(), threading.Event()
    records = first.log.records

    def slow(**start):
        under_way.set()
        assert go_on.wait(60)
        yield from records(**start)

    monkeypatch.setattr(first.log, "records", slow)
    with Catalog(shared_url) as other, ThreadPoolExecutor(2) as pool:
        running = pool.submit(catalog.project, first)
        assert under_way.wait(60)
        waiting = pool.submit(other.project, second)
        wait_until_blocked(shared_url)
        go_on.set()
        assert (running.result(), waiting.result()) == (2, 0)


def test_a_projection_that_dies_leaves_the_catalog_as_it_was(catalog, repository, shared_url, monkeypatch):
    a_backup(repository)
    catalog.project(repository)
    a_backup(repository)
    records = repository.log.records

    def breaking(**start):
        yield next(iter(records(**start)))
        raise KeyboardInterrupt

    monkeypatch.setattr(repository.log, "records", breaking)
    with pytest.raises(KeyboardInterrupt):
        catalog.project(repository)
    assert len(all_records(shared_url)) == 2
    monkeypatch.undo()
    assert catalog.project(repository) == 2


def test_a_log_whose_tail_was_cut_off_is_noticed(catalog, repository, store):
    a_backup(repository)
    a_backup(repository)
    catalog.project(repository)
    assert catalog.check_head(repository).sequence == 4
    del store.objects[layout.log_key(repository.site, 4)]
    for question in (catalog.check_head, catalog.project):
        with pytest.raises(LogCorrupt, match=r"was cut off: the catalog has seen record 4"):
            question(repository)
    assert len(catalog.backups()) == 2


def test_a_log_that_was_rewritten_is_noticed_even_when_it_is_longer(catalog, repository, store, site, key, clock):
    a_backup(repository)
    a_backup(repository)
    catalog.project(repository)
    for sequence in (3, 4):
        del store.objects[layout.log_key(site, sequence)]
    rewritten = a_repository(store, site, wrapper=key, clock=clock)
    for _ in range(3):
        a_backup(rewritten)
    for question in (catalog.check_head, catalog.project):
        with pytest.raises(LogCorrupt, match=r"record 4 .* is not the one that the catalog has seen"):
            question(rewritten)


def test_a_damaged_log_changes_nothing_in_the_catalog(catalog, repository, store):
    a_backup(repository)
    catalog.project(repository)
    a_backup(repository)
    name = layout.log_key(repository.site, 4)
    body, info = store.objects[name]
    store.objects[name] = (body.replace(b"tester", b"nobody"), info)
    with pytest.raises(LogCorrupt, match="record 4"):
        catalog.project(repository)
    assert catalog.check_head(repository).sequence == 2


def test_an_unknown_site_has_no_head_and_nothing_to_check(catalog, repository):
    assert catalog.check_head(repository).sequence == 0
    assert catalog.heads() == []


def test_a_site_from_another_repository_is_refused_until_it_is_rebuilt(catalog, site, key, clock):
    old = a_repository(MemoryStore(clock), site, wrapper=key, clock=clock)
    a_backup(old)
    catalog.project(old)
    new = a_repository(MemoryStore(clock), site, wrapper=key, clock=clock)
    backup = a_backup(new)
    for question in (catalog.project, catalog.check_head):
        with pytest.raises(ConfigurationError, match=r"holds repository .*hint: .*lc2-backup rebuild"):
            question(new)
    assert catalog.rebuild([new]) == 2
    (found,) = catalog.backups(status=None)
    assert (found.backup_id, found.repository_id) == (backup.backup_id, new.repository_id)
    assert [head.repository_id for head in catalog.heads()] == [new.repository_id]


def test_rebuild_gives_what_projecting_gave_and_leaves_other_sites_alone(catalog, store, key, clock):
    repositories = [
        a_repository(store, SiteId.parse(name), wrapper=key, clock=clock)
        for name in ("retail/liferay", "retail/drupal")
    ]
    for repository in repositories:
        first = a_backup(repository)
        a_backup(repository)
        tell(repository, RecordType.HOLD, backup_id=first.backup_id, reason="audit")
        catalog.project(repository)
    before = catalog.backups()
    assert catalog.rebuild(repositories[:1]) == 5
    assert catalog.backups() == before
    assert {each.holds for each in before} == {("audit",), ()}


def test_rebuild_makes_a_catalog_from_nothing(catalog_url, repository):
    backup = a_backup(repository)
    with Catalog(catalog_url) as empty:
        assert empty.rebuild([repository]) == 2
        assert [each.backup_id for each in empty.backups()] == [backup.backup_id]


def test_rebuild_goes_on_with_the_other_sites_when_one_is_damaged(catalog, store, key, clock):
    broken, whole = (
        a_repository(store, SiteId.parse(name), wrapper=key, clock=clock)
        for name in ("retail/liferay", "retail/drupal")
    )
    for repository in (broken, whole):
        a_backup(repository)
        a_backup(repository)
    catalog.project(broken)
    del store.objects[layout.log_key(broken.site, 2)]
    with pytest.raises(LogCorrupt, match="record 2 of the log of retail/liferay is missing"):
        catalog.rebuild([broken, whole])
    assert {str(each.site) for each in catalog.backups()} == {"retail/liferay", "retail/drupal"}


def test_a_catalog_that_cannot_be_reached_says_so_without_its_password(catalog_url, repository):
    from sqlalchemy.engine import make_url

    away = make_url(catalog_url).set(port=9, password="very-secret")
    with Catalog(away.render_as_string(hide_password=False)) as catalog:
        for question in (catalog.migrate, catalog.backups, lambda: catalog.project(repository)):
            with pytest.raises(CatalogUnavailable, match=r"127\.0\.0\.1:9/") as caught:
                question()
            assert "very-secret" not in str(caught.value)


def test_a_wrong_password_and_missing_tables_are_no_programming_errors(catalog_url):
    from sqlalchemy.engine import make_url

    with Catalog(catalog_url) as catalog, pytest.raises(CatalogUnavailable, match="run lc2-backup rebuild"):
        catalog.backups()
    wrong = make_url(catalog_url).set(password="wrong").render_as_string(hide_password=False)
    with Catalog(wrong) as catalog, pytest.raises(CatalogUnavailable, match="password authentication failed"):
        catalog.backups()


@pytest.mark.parametrize("url", ["mysql://u:very-secret@h/d", "very-secret", "postgresql+asyncpg://u:very-secret@h/d"])
def test_an_address_of_something_else_is_refused_without_repeating_it(url):
    with pytest.raises(ConfigurationError, match="not one of PostgreSQL") as caught:
        Catalog(url)
    assert "very-secret" not in str(caught.value)


def test_a_late_commit_of_a_zombie_never_shows(catalog, repository, store, site, key, clock):
    zombie = repository.begin(Component.DATABASE, window=None, initiator=TESTER).__enter__()
    clock.move(minutes=5)
    other = a_repository(store, site, wrapper=key, clock=clock)
    winner = a_backup(other)
    with pytest.raises(Fenced):
        zombie.commit(a_draft())
    zombie.__exit__(None, None, None)
    catalog.project(other)
    assert [each.backup_id for each in catalog.backups()] == [winner.backup_id]


def test_the_tables_belong_to_their_own_schema(catalog, shared_url):
    tables = execute(shared_url, "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname !~ '^pg_|^inf'")
    assert {name for (name,) in tables} == {
        f"lc2_backup.{name}" for name in ("alembic_version", "backups", "log_heads", "log_records")
    }


def test_stores_that_are_dead_do_not_change_the_catalog(catalog, site, key):
    clock = SetClock()
    store = DyingStore(clock)
    repository = a_repository(store, site, wrapper=key, clock=clock)
    a_backup(repository)
    catalog.project(repository)
    store.writes_left = -1
    with pytest.raises(BaseException):  # noqa: B017 - Killed is no Exception
        catalog.project(repository)
    assert len(catalog.backups()) == 1
