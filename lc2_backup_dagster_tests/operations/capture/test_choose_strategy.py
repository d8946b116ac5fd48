"""Which way is chosen, and why: decided from values alone, so every history can be tried."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.postgres.base.backup_manifest import WalRange
from lc2_backup_dagster.engines.postgres.servers.facts import ServerFacts
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.operations.capture.choose_strategy import ArchivedWal, ServerState, choose_strategy
from lc2_backup_dagster.operations.chains import by_id, chain_of
from lc2_backup_dagster.operations.site_context import ChainLimits
from lc2_backup_dagster.operations.wal.coverage import WalCoverage
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster_tests.builders import TESTER

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FULL, INCREMENTAL, WAL, SNAPSHOT = BackupKind.FULL, BackupKind.INCREMENTAL, BackupKind.WAL, BackupKind.SNAPSHOT
LIMITS = ChainLimits(incremental=True, max_length=3, max_age_hours=24)
NO_WAL = "no WAL of this site is archived (database.wal.enabled)"


def a_server(*, major: int = 17, summarize_wal: bool = True, **changes: Any) -> ServerState:
    facts = ServerFacts(
        version=f"{major}.1", major=major, system_identifier="1", timeline=1, in_recovery=False, wal_level="replica",
        wal_segment_bytes=1 << 24, checksums_on=True, database_bytes=1, cluster_bytes=1, tablespaces=(),
        page_bytes=8192, summarize_wal=summarize_wal and major >= 17,
        summarized=(WalRange(Lsn(0, 1), Lsn(10_000, 1)),) if summarize_wal and major >= 17 else None,
    )  # fmt: skip
    return replace(ServerState(facts, "1", Lsn(10_000, 1), NOW), **changes)


def a_backup(number: int, kind: BackupKind = FULL, parent: str | None = None, **summary: Any) -> CommittedBackup:
    told = {
        "system_identifier": "1", "timeline": 1, "start_lsn": str(Lsn(number * 100, 1)),
        "lsn": str(Lsn(number * 100 + 50, 1)), "summarize_wal": True, "wal_segment_bytes": 1 << 24,
        "restorable_until": to_text(NOW - timedelta(hours=1)),
    }  # fmt: skip
    return CommittedBackup(
        f"b{number}",
        Component.DATABASE,
        kind,
        parent,
        None,
        to_text(NOW),
        number,
        "0" * 64,
        TESTER,
        {**told, **summary},
    )


def a_chain(length: int, **summary: Any) -> list[CommittedBackup]:
    chain = [a_backup(1, **summary)]
    return [*chain, *(a_backup(n, INCREMENTAL, f"b{n - 1}", **summary) for n in range(2, length + 2))]


def wal_behind(base: CommittedBackup, **changes: Any) -> ArchivedWal:
    coverage = WalCoverage(
        system_identifier="1", start=Lsn(0, 1), end=Lsn(10_000, 1), timelines=((1, None),), segments=(), partial=None,
        until=NOW, gap=None, position=None, archive=cast("Any", None),
    )  # fmt: skip
    return ArchivedWal(base, replace(coverage, **changes))


def choose(backups, server=None, limits=LIMITS, *, wal: ArchivedWal | str = NO_WAL, damaged=None, now=NOW):
    return choose_strategy(backups, server or a_server(), limits, wal=wal, damaged=damaged or {}, now=now)


def test_the_newest_of_a_usable_chain_is_the_parent():
    strategy = choose(a_chain(2))
    assert (strategy.kind, strategy.parent and strategy.parent.backup_id) == (INCREMENTAL, "b3")
    assert "increment 3 of at most 3 behind the full backup b1, which is 1.0 h old" in strategy.reason


UNUSABLE = {
    "nothing yet": ([], {}, "there is no earlier backup"),
    "too long": (a_chain(3), {}, "already has 3 increments"),
    "too old": (a_chain(0, restorable_until=to_text(NOW - timedelta(hours=25))), {}, "25 h old, at most 24 h"),
    "from the future": (a_chain(0, restorable_until=to_text(NOW + timedelta(hours=3))), {}, "3.0 h ahead of"),
    "another cluster": (a_chain(1, system_identifier="2"), {}, "is of cluster 2, the server is 1"),
    "summaries were off": (a_chain(0, summarize_wal=False), {}, "was taken while summarize_wal was off"),
    "another timeline": (a_chain(1, timeline=2), {}, "was taken on timeline 2, the server is on 1"),
    "set back": (a_chain(0, lsn="0/FFFFFF"), {}, "the server was set back to an earlier state"),
    "expired ancestor": (a_chain(2)[1:], {}, "stands on b1, which has expired or is gone"),
    "damaged ancestor": (a_chain(1), {"b1": "base.tar/000000 is gone"}, "b1 is damaged: base.tar/000000 is gone"),
    "positions unknown": (a_chain(0, start_lsn=None), {}, "does not tell its positions"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_chain_that_cannot_be_stood_on_ends_in_a_full_backup_that_says_why(case: str):
    backups, damaged, reason = UNUSABLE[case]
    strategy = choose(backups, damaged=damaged)
    assert (strategy.kind, strategy.parent) == (FULL, None)
    assert strategy.reason.startswith("a new chain begins: ")
    assert reason in strategy.reason


def test_summaries_that_do_not_reach_back_to_the_parent_end_the_chain():
    late = replace(a_server().facts, summarized=(WalRange(Lsn(150, 1), Lsn(10_000, 1)),))
    strategy = choose(a_chain(0), a_server(facts=late))
    assert strategy.kind is FULL
    assert "do not reach back to the start of b1" in strategy.reason
    unknown = replace(late, summarized=None)
    assert choose(a_chain(0), a_server(facts=unknown)).kind is INCREMENTAL, "the server itself is asked then"


def test_the_newest_of_the_own_cluster_counts_whatever_was_backed_up_after_it():
    strategy = choose([*a_chain(0), a_backup(7, system_identifier="2")])
    assert strategy.parent is not None
    assert strategy.parent.backup_id == "b1"


def test_a_promise_over_wal_is_no_parent():
    strategy = choose([*a_chain(0), a_backup(5, WAL, "b1")])
    assert strategy.parent is not None
    assert strategy.parent.backup_id == "b1"


@pytest.mark.parametrize(
    ("server", "limits", "why"),
    [
        (a_server(major=15), LIMITS, "PostgreSQL 15 makes none"),
        (a_server(summarize_wal=False), LIMITS, "summarize_wal is off"),
        (a_server(), replace(LIMITS, incremental=False), "policies.chains.incremental"),
    ],
)
def test_without_increments_archived_wal_is_the_increment(server, limits, why):
    chain = a_chain(0)
    strategy = choose(chain, server, limits, wal=wal_behind(chain[-1]))
    assert (strategy.kind, strategy.parent) == (WAL, chain[-1])
    assert why in strategy.reason
    assert choose(chain, server, limits).kind is FULL
    assert NO_WAL in choose(chain, server, limits).reason


NOT_COVERED = {
    "a gap": ({"gap": "000000010000000000000002"}, "000000010000000000000002 is missing from the archive"),
    "late": ({"until": NOW - timedelta(minutes=3)}, "does wal-receive run?"),
    "a clock that was set back": ({"end": Lsn(9_999, 1)}, "the archive ends at 0/270F, the server is at 0/2710"),
    "no time known": ({"until": None}, "does wal-receive run?"),
    "another timeline": ({"end": Lsn(10_000, 2)}, "the archive ends on timeline 2, the server is on 1"),
    "another cluster": ({"system_identifier": "2"}, "does not stand on b1"),
}


@pytest.mark.parametrize("case", NOT_COVERED)
def test_wal_that_does_not_reach_the_present_is_no_promise(case: str):
    changes, reason = NOT_COVERED[case]
    [base] = a_chain(0)
    strategy = choose([base], a_server(major=14), wal=wal_behind(base, **changes))
    assert strategy.kind is FULL
    assert reason in strategy.reason
    assert "PostgreSQL 14 makes none" in strategy.reason


def test_the_header_of_a_page_that_nothing_was_written_behind_is_not_waited_for():
    [base] = a_chain(0)
    idle = a_server(major=14, position=Lsn(8192 * 5 + 24, 1))
    assert choose([base], idle, wal=wal_behind(base, end=Lsn(8192 * 5, 1))).kind is WAL
    assert choose([base], idle, wal=wal_behind(base, end=Lsn(8192 * 5 - 1, 1))).kind is FULL


def test_a_base_that_is_too_old_ends_the_promise_over_wal_too():
    [base] = a_chain(0, restorable_until=to_text(NOW - timedelta(hours=30)))
    strategy = choose([base], a_server(major=16), wal=wal_behind(base))
    assert strategy.kind is FULL
    assert "policies.chains.maxAgeHours" in strategy.reason


def test_a_providers_snapshot_comes_before_a_full_backup_and_after_everything_else():
    chain = a_chain(0)
    old = a_server(major=13, snapshots=True)
    assert choose(chain, old).kind is SNAPSHOT
    assert "PostgreSQL 13 makes none" in choose(chain, old).reason
    assert choose(chain, old, wal=wal_behind(chain[0])).kind is WAL
    assert choose(chain, a_server(snapshots=True)).kind is INCREMENTAL


@st.composite
def histories(draw: st.DrawFn) -> list[CommittedBackup]:
    """Any history: chains, branches, promises, other clusters, expired ancestors."""
    made: list[CommittedBackup] = []
    for number in range(1, draw(st.integers(0, 12)) + 1):
        copies = [each.backup_id for each in made if each.kind in (FULL, INCREMENTAL)]
        kind = draw(st.sampled_from([FULL, INCREMENTAL, INCREMENTAL, WAL])) if copies else FULL
        made.append(
            a_backup(
                number,
                kind,
                draw(st.sampled_from(copies)) if kind is not FULL else None,
                system_identifier=draw(st.sampled_from(["1", "1", "1", "2"])),
                timeline=draw(st.sampled_from([1, 1, 1, 2])),
                summarize_wal=draw(st.sampled_from([True, True, False])),
                restorable_until=to_text(NOW - timedelta(hours=draw(st.integers(-5, 40)))),
            )
        )
    expired = draw(st.sets(st.sampled_from([each.backup_id for each in made]), max_size=3)) if made else set()
    return [each for each in made if each.backup_id not in expired]


@given(histories(), st.sampled_from([13, 16, 17, 18]), st.booleans(), st.booleans(), st.sets(st.integers(1, 12)))
def test_nothing_ever_stands_on_what_cannot_carry_it(backups, major, summarize_wal, archived, damaged_numbers):
    server = a_server(major=major, summarize_wal=summarize_wal)
    damaged = {f"b{number}": "gone" for number in damaged_numbers}
    own = [each for each in backups if each.kind in (FULL, INCREMENTAL) and each.summary["system_identifier"] == "1"]
    wal: ArchivedWal | str = wal_behind(own[-1]) if archived and own else NO_WAL
    strategy = choose(backups, server, wal=wal, damaged=damaged)
    assert strategy.reason
    if strategy.kind is FULL:
        assert strategy.parent is None
        assert "a new chain begins: " in strategy.reason or "no increment: " in strategy.reason
        return
    assert strategy.parent is not None
    chain = chain_of(strategy.parent, by_id(backups))
    assert chain.full.kind is FULL
    assert not {each.backup_id for each in chain.members} & damaged.keys()
    assert {each.backup_id for each in chain.members} <= {each.backup_id for each in backups}, "nothing expired"
    assert strategy.parent.summary["system_identifier"] == "1"
    assert timedelta(hours=-1) <= NOW - chain.full_taken <= timedelta(hours=LIMITS.max_age_hours)
    if strategy.kind is INCREMENTAL:
        assert major >= 17
        assert summarize_wal
        assert chain.increments < LIMITS.max_length
        assert strategy.parent.summary["timeline"] == 1
        assert strategy.parent.summary["summarize_wal"]
    else:
        assert strategy.kind is WAL
        assert major < 17 or not summarize_wal
