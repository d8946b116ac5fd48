"""How long a code location takes to load its sites: files read, definitions built, everything in them resolved."""

import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.measured import measure
from lc2_backup_dagster.applications.registry import APPLICATIONS

_WORKER = """
import json, sys, time
began = time.perf_counter()
from datetime import UTC, datetime
from pathlib import Path
from lc2_backup_dagster.orchestration.build import build_definitions
from lc2_backup_dagster.sites.loader import load_sites
from benchmarks.worker import peak_bytes
imported = time.perf_counter()
loaded = load_sites([Path(sys.argv[1])], environment={})
assert not loaded.problems, loaded.problems[0]
read = time.perf_counter()
repository = build_definitions(loaded.sites, now=datetime.now(UTC)).get_repository_def()
repository.load_all_definitions()
done = time.perf_counter()
print(json.dumps({
    "sites": len(loaded.sites), "assets": len(repository.asset_graph.get_all_asset_keys()),
    "import_seconds": imported - began, "read_seconds": read - imported, "build_seconds": done - read,
    "peak_bytes": peak_bytes(),
}))
"""


def measure_definitions(projects: int) -> list[str]:
    """Load projects with a site of every application each, in a process of its own; the best of three counts."""
    with tempfile.TemporaryDirectory(prefix="lc2-bench-sites-") as folder:
        _write_sites(Path(folder), projects)
        runs = [measure([sys.executable, "-c", _WORKER, folder]).told for _ in range(3)]
    told = min(runs, key=_seconds)
    return [
        f"{told['sites']} sites, {told['assets']} assets: loaded in {_seconds(told):.1f} s (import "
        f"{told['import_seconds']:.1f}, site files {told['read_seconds']:.1f}, definitions "
        f"{told['build_seconds']:.1f}), peak {told['peak_bytes'] / 1e6:.0f} MB"
    ]


def _seconds(told: dict[str, float]) -> float:
    return told["import_seconds"] + told["read_seconds"] + told["build_seconds"]


def _write_sites(folder: Path, projects: int) -> None:
    for number in range(projects):
        for kind in APPLICATIONS:
            site = {
                "apiVersion": "backup.lc2.io/v1alpha1",
                "kind": "Site",
                "project": f"project-{number:03d}",
                "application": kind,
                "environment": "prod",
                "owners": ["team:sre"],
                "destination": {
                    "store": {"kind": "s3", "bucket": "backups", "region": "eu-central-1"},
                    "encryption": {"key": {"kind": "file", "path": "/keys/site.key"}},
                },
                "database": {"host": f"db-{number}", "name": kind, "user": "lc2_backup", "wal": {"enabled": True}},
                "files": {"source": {"store": {"kind": "s3", "bucket": f"{kind}-{number}", "region": "eu-central-1"}}},
                "configuration": {"source": {"kind": "directory", "path": "/configs"}},
            }
            (folder / f"{number:03d}-{kind}.yaml").write_text(yaml.safe_dump(site, sort_keys=False))
