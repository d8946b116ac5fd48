"""A chain of increments: what they cost together, and restoring the end of it, against pgBackRest.

Ours runs against a server 17, whose increments are blocks that the server names; pgBackRest of Debian backs up a
server 15 with the same rows and the same changes, by checksums of blocks. Both change other pages each turn.
"""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.bench_site import Bench
from benchmarks.measured import Measured
from benchmarks.peers import PgBackRest
from benchmarks.pgbench import PROCESSES, Cost, change, our_restore, ours, row, seed, server_15, with_server
from benchmarks.table import Row

_SHARE = 0.01


@dataclass(frozen=True)
class _Chain:
    """The increments of a chain together, and the restore of its end."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    stored_bytes: int
    restored: Cost


def measure_chains(bench: Bench, *, scale: int, length: int, report: Callable[[list[Row]], None]) -> None:
    """Measure increments and restores of chains.

    Args:
        bench: running servers; its PostgreSQL is a 17.
        scale: of pgbench: about 16 MB each.
        length: increments behind the full backup.
        report: takes rows as soon as they are known.
    """
    theirs = _pgbackrest(bench, scale=scale, length=length)
    for place, chain in _ours(bench, scale=scale, length=length).items():
        size = f"pgbench {scale}"
        report(
            [
                Row(
                    size=size,
                    what=f"{length} increments of {_SHARE:.0%} → {place}, together",
                    seconds=chain.seconds,
                    cpu_seconds=chain.cpu_seconds,
                    peak_bytes=chain.peak_bytes,
                    stored_bytes=chain.stored_bytes,
                    peer=f"pgBackRest's {length} on a server 15",
                    peer_seconds=theirs.seconds,
                    peer_cpu_seconds=theirs.cpu_seconds,
                    peer_stored_bytes=theirs.stored_bytes,
                ),
                row(size, f"restore of that chain ← {place}", chain.restored, "pgBackRest's", theirs.restored),
            ]
        )


def _pgbackrest(bench: Bench, *, scale: int, length: int) -> _Chain:
    with server_15(bench) as server:
        seed(server, scale)
        peer = PgBackRest(server, bench.home / "peers-of-chains", processes=PROCESSES)
        peer.backup("full")
        before = peer.stored_bytes()

        def increment(turn: int) -> Cost:
            change(server, _SHARE, turn=turn)
            return with_server(server, lambda: peer.backup("incr"))

        made = [increment(turn) for turn in range(length)]
        return _chain(
            made, [each.measured.seconds for each in made], peer.stored_bytes() - before, Cost(peer.restored())
        )


def _ours(bench: Bench, *, scale: int, length: int) -> dict[str, _Chain]:
    seed(bench.postgres, scale)
    sites = {
        "directory": bench.site("chain", destination=bench.directory("repository-chain")),
        "S3": bench.site("chain-s3", destination=bench.s3("backups")),
    }
    made: dict[str, list[Cost]] = {place: [] for place in sites}
    for site in sites.values():
        ours(bench, bench.postgres, site)
    for turn in range(length):
        change(bench.postgres, _SHARE, turn=turn)
        for place, site in sites.items():
            cost = ours(bench, bench.postgres, site)
            if cost.measured.told["strategy"] != "incremental":
                raise SystemExit(f"increment {turn + 1} became {cost.measured.told['strategy']}")
            made[place].append(cost)
    return {
        place: _chain(
            made[place],
            [each.measured.told["operation_seconds"] for each in made[place]],
            sum(each.measured.told["stored_bytes"] for each in made[place]),
            our_restore(bench, site, made[place][-1].backup_id),
        )
        for place, site in sites.items()
    }


def _chain(made: list[Cost], seconds: list[float], stored_bytes: int, restored: Cost) -> _Chain:
    measured: list[Measured] = [each.measured for each in made]
    return _Chain(
        seconds=sum(seconds),
        cpu_seconds=sum(each.cpu_seconds for each in made),
        peak_bytes=max(each.peak_bytes for each in measured),
        stored_bytes=stored_bytes,
        restored=restored,
    )
