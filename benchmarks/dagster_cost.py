"""What Dagster itself costs: the same small operation alone and as a run, from launch to its end."""

from datetime import UTC, datetime
from statistics import median

import psutil

from benchmarks.bench_site import Bench
from benchmarks.measured import worker
from benchmarks.table import mb
from lc2_backup_dagster.demo.seed.liferay_database import seed_liferay_database
from lc2_backup_dagster.demo.seed.scale import LiferayScale
from lc2_backup_dagster.demo.servers.dagster import DagsterProcesses
from lc2_backup_dagster.model.window import Window, WindowLength

_RUNS = 5
_TIMES = "query T($id: ID!) { runOrError(runId: $id) { ... on Run { creationTime startTime endTime } } }"


def measure_dagster(bench: Bench) -> list[str]:
    """Run a dump of a small database through Dagster and by itself; return sentences with medians."""
    name = "dagster_cost"
    bench.postgres.create_database(name)
    bench.postgres.create_database("dagster")
    seed_liferay_database(bench.postgres.server(name), LiferayScale(size_bytes=20_000_000, documents=50))
    site = bench.site(name, destination=bench.directory("repository-dagster"), database=name)
    alone = [worker("dump", site, bench.environment) for _ in range(_RUNS)]
    environment = {
        **bench.environment,
        "LC2_BACKUP_SITES": str(site),
        "LC2_DAGSTER_PG_HOST": "127.0.0.1",
        "LC2_DAGSTER_PG_PORT": str(bench.postgres.port),
        "LC2_DAGSTER_PG_USER": "postgres",
        "LC2_DAGSTER_PG_PASSWORD": bench.environment["BENCH_PASSWORD"],
        "LC2_DAGSTER_PG_DATABASE": "dagster",
    }
    processes = DagsterProcesses(bench.home / "dagster", environment=environment, log_directory=bench.home / "logs")
    began = datetime.now(UTC)
    with processes:
        ready = (datetime.now(UTC) - began).total_seconds()
        client = processes.client()
        runs: list[tuple[float, float]] = []
        for _ in range(_RUNS):
            window = Window.around(datetime.now(UTC), length=WindowLength.DAILY)
            run = client.wait(client.launch_assets([("bench", "liferay", "database_dump")], partition=window.key))
            if run.status != "SUCCESS":
                raise SystemExit(f"run {run.run_id} ended as {run.status}: {run.errors}")
            times = client.query(_TIMES, id=run.run_id)["runOrError"]
            runs.append((times["endTime"] - times["creationTime"], times["startTime"] - times["creationTime"]))
        memory = {
            process: sum(each.memory_info().rss for each in _tree(pid)) for process, pid in processes.pids.items()
        }
    whole, queued = (median(column) for column in zip(*runs, strict=True))
    operation = median(each.told["operation_seconds"] for each in alone)
    first_byte = median(each.told["first_byte_seconds"] for each in alone)
    return [
        f"Dagster ready after {ready:.1f} s (code server, daemon, web server, code location loaded)",
        f"launch → end of a run over one asset: {whole:.2f} s (median of {_RUNS}), of these {queued:.2f} s until the "
        f"worker starts; the operation alone takes {operation:.2f} s: Dagster costs {whole - operation:.2f} s a run",
        f"launch → first stored byte: about {queued + first_byte:.2f} s ({first_byte:.2f} s of them in the operation)",
        "memory: " + ", ".join(f"{process} {mb(count)}" for process, count in memory.items()),
    ]


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]
