"""Every asset, check, job, schedule and sensor of a deployment, with its default status, as ``definitions.txt`` has it.

A difference is either a mistake or a change that operators must hear of. After a change that is meant, write the file
anew: ``python -m lc2_backup_dagster_tests.orchestration.test_definitions_snapshot``.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import yaml

from lc2_backup_dagster.orchestration.build import build_definitions
from lc2_backup_dagster.sites.schema import SiteDefinition

SNAPSHOT = Path(__file__).with_name("definitions.txt")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

COMMON = """
apiVersion: backup.lc2.io/v1alpha1
kind: Site
environment: test
destination:
  store: {kind: directory, path: /backups}
  encryption: {enabled: false}
database: {host: db, name: app, user: lc2_backup}
"""
FILES = "files: {source: {store: {kind: directory, path: /files}}}"
SITES = (
    # Everything on.
    f"""
project: retail
application: liferay
{FILES}
configuration: {{source: {{kind: directory, path: /configs}}}}
""",
    f"""
project: retail
application: drupal
{FILES}
configuration: {{source: {{kind: store, store: {{kind: directory, path: /sync}}}}}}
""",
    f"""
project: retail
application: bloomreach
{FILES}
configuration: {{source: {{kind: bloomreach, baseUrl: 'https://cms.example', tokenEnv: TOKEN}}}}
""",
    # A second one of a kind in a project, with shards, and its schedules off.
    """
project: retail
application: liferay
name: intranet
files: {shards: [a/, b/], source: {store: {kind: directory, path: /intranet}}}
schedules: {database: {enabled: false}, daily: {cron: '30 3 * * *', timeZone: Europe/Berlin, enabled: false}}
""",
    # Nothing but a database.
    """
project: office
application: drupal
""",
)


def definitions() -> dg.Definitions:
    sites = []
    for text in SITES:
        told = {**yaml.safe_load(COMMON), **yaml.safe_load(text)}
        if told["project"] == "retail" and "name" not in told:
            told["database"]["wal"] = {"enabled": True}
        sites.append(SiteDefinition.model_validate(told))
    return build_definitions(sites, now=NOW)


def described() -> Iterator[str]:
    """Yield a line for everything, sorted by kind and name."""
    built = definitions()
    repository = built.get_repository_def()
    yield "# assets: key, partitions, pool, what it stands on"
    pools = {
        key: definition.op.pool
        for definition in repository.assets_defs_by_key.values()
        for key in definition.keys
        if definition.is_executable and isinstance(definition.node_def, dg.OpDefinition)
    }
    for spec in sorted(built.resolve_all_asset_specs(), key=lambda each: each.key.path):
        partitions = (
            type(spec.partitions_def).__name__.removesuffix("PartitionsDefinition") if spec.partitions_def else "-"
        )
        below = ", ".join(sorted(each.asset_key.path[-1] for each in spec.deps)) or "-"
        yield f"{spec.key.to_user_string()}: {partitions}, {pools.get(spec.key) or '-'}, {below}"
    yield "# checks: asset, name, whether it blocks"
    specs = sorted(
        (
            spec
            for each in (*repository.asset_checks_defs_by_key.values(), *repository.assets_defs_by_key.values())
            for spec in each.check_specs
        ),
        key=lambda each: (each.asset_key.path, each.name),
    )
    yield from dict.fromkeys(
        f"{each.asset_key.to_user_string()}: {each.name}, {'blocks' if each.blocking else 'warns'}" for each in specs
    )
    yield "# jobs: name, assets"
    for job in sorted(repository.get_all_jobs(), key=lambda each: each.name):
        if not job.name.startswith("__"):
            keys = sorted(key.path[-1] for key in job.asset_layer.executable_asset_keys)
            yield f"{job.name}: {', '.join(keys) or 'no asset'}"
    yield "# schedules: name, cron, zone, default status"
    for schedule in sorted(repository.schedule_defs, key=lambda each: each.name):
        yield (
            f"{schedule.name}: {schedule.cron_schedule}, {schedule.execution_timezone}, {schedule.default_status.value}"
        )
    yield "# sensors: name, seconds, default status"
    for sensor in sorted(repository.sensor_defs, key=lambda each: each.name):
        yield f"{sensor.name}: {sensor.minimum_interval_seconds}, {sensor.default_status.value}"


def test_the_definitions_are_those_of_the_snapshot():
    assert "\n".join(described()) + "\n" == SNAPSHOT.read_text()


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(described()) + "\n")
