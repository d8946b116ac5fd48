"""Whatever a log says and however often it is projected, the catalog holds what the log's own fold holds."""

from dataclasses import asdict

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.site import Component, SiteId
from lc2_backup_dagster.repository.catalog import BackupStatus, CatalogBackup
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER, a_repository
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock

_COMPONENTS = [Component.DATABASE, Component.FILES]
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "begin",
                "commit",
                "abort",
                "hold",
                "release",
                "expire",
                "undelete",
                "purge",
                "refuse",
                "project",
                "rebuild",
            ]
        ),
        st.integers(0, 7),
    ),
    max_size=60,
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    database=None,
)
@given(steps=_STEPS)
def test_the_catalog_holds_what_the_fold_holds(catalog, steps):
    clock = SetClock()
    repository = a_repository(MemoryStore(clock), SiteId("retail", "liferay"), wrapper=None, clock=clock)
    catalog.rebuild([repository])  # forgets the example before
    for number, (step, choice) in enumerate(steps):
        clock.move(seconds=1)
        if step == "project":
            catalog.project(repository)
        elif step == "rebuild":
            catalog.rebuild([repository])
        else:
            _append(repository, step, choice, number)
    catalog.project(repository)
    history = repository.log.history()
    found = catalog.backups(status=None, limit=None)
    assert [_told(each) for each in reversed(found)] == [_expected(each) for each in history.backups.values()]
    restorable = catalog.backups(status=BackupStatus.COMMITTED, limit=None)
    assert [each.backup_id for each in reversed(restorable)] == [each.backup_id for each in history.restorable()]
    head = catalog.check_head(repository)
    assert (head.sequence, head.sha256) == (history.sequence, history.head_sha256)


def _append(repository, step: str, choice: int, number: int) -> None:
    """Append the record if the log allows it."""
    history = repository.log.history()
    component = _COMPONENTS[choice % 2]
    holder = history.holder(component)
    backups = list(history.backups)
    backup_id = backups[choice % len(backups)] if backups else None
    bodies = {
        "begin": {
            "attempt": f"attempt-{number:03d}",
            "component": str(component),
            "window": None,
            "bases": [],
            "resumes": [],
            "supersedes": [holder.attempt_id] if holder else [],
        },
        "commit": holder
        and {
            "attempt": holder.attempt_id,
            "kind": "full",
            "parent": backup_id,
            "window": None,
            "manifest_sha256": f"{number:064x}",
            "summary": {"plain_bytes": number, "lsn": "0/1", "ratio": 15, "nested": {"é": [None, True]}},
        },
        "abort": holder and {"attempt": holder.attempt_id, "reason": "it broke"},
        "hold": backup_id and {"backup_id": backup_id, "reason": f"reason {choice}"},
        "release": backup_id and {"backup_id": backup_id, "reason": f"reason {choice}"},
        "expire": backup_id and {"backup_ids": backups[: choice % 3 + 1]},
        "undelete": backup_id and {"backup_ids": [backup_id]},
        "purge": backup_id and {"backup_ids": [backup_id]},
        "refuse": {"reason": "no"},
    }
    if bodies[step]:
        repository.tell(RecordType(step), initiator=TESTER, body=bodies[step])


def _told(backup: CatalogBackup) -> dict[str, object]:
    fields = {name: getattr(backup, name) for name in CommittedBackup.__dataclass_fields__}
    return {
        **fields,
        "initiator": asdict(backup.initiator),
        "committed_at": to_text(backup.committed_at),
        "expired_at": backup.expired_at and to_text(backup.expired_at),
    }


def _expected(backup: CommittedBackup) -> dict[str, object]:
    return {
        **{name: getattr(backup, name) for name in CommittedBackup.__dataclass_fields__},
        "initiator": asdict(backup.initiator),
    }
