"""The files of a site that is cut into shards: one asset, carried out by a step for each shard.

To Dagster's users it is the same asset: key, windows, checks, metadata, freshness. Within its run a first step begins
the attempt, one step captures each shard, and the last one commits. In one process they follow each other; an executor
that starts a process or a pod for each step runs the shards at once. A step that died is run again alone by
"re-execute from failure".

Steps hand nothing to each other through Dagster, whose storage for that is a folder of one machine: what they share is
in the repository, found by the id of the run that was launched first.

**Pools.** The first and the last step have the pool of the component, so that no two runs begin or commit at once. The
shards have none: they must run at once, and slots are freed between steps anyway. That two runs do not overlap is
kept by the attempt: while one is alive, another run's first step is told that the component is held, and asks again.
"""

from collections.abc import Generator
from typing import Any

import dagster as dg

from lc2_backup_dagster.engines.files.capture.shards import Shard, shards_of
from lc2_backup_dagster.model.errors import ComponentBusy
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.capture.shards import begin_shards, capture_shard, commit_shards
from lc2_backup_dagster.orchestration.asset_traits import KINDS, SiteAssets
from lc2_backup_dagster.orchestration.captures import kept_reported, materialized
from lc2_backup_dagster.orchestration.checks import check_specs
from lc2_backup_dagster.orchestration.interruptions import translate_errors
from lc2_backup_dagster.orchestration.keys import group_name, pool_name
from lc2_backup_dagster.orchestration.partitions import window_length
from lc2_backup_dagster.orchestration.progress import LoggedProgress
from lc2_backup_dagster.orchestration.run_context import asked_at, initiator_of, ticket_of, window_of
from lc2_backup_dagster.resources.catalog import CatalogResource
from lc2_backup_dagster.resources.sites import SitesResource
from lc2_backup_dagster.sites.schema import SiteDefinition

BUSY_SECONDS = 60
"""How often a run asks whether the component is free that another run holds."""

_FILES = Component.FILES
_UPSTREAM = "before"


def sharded_files(site: SiteAssets) -> dg.AssetsDefinition:
    """Return the files asset of a site that has shards."""
    definition, key = site.definition, site.key(_FILES)
    specs = check_specs(_FILES, key)
    (upstream,) = site.upstream(_FILES)
    begin = _begin(site)
    captures = [_capture(site, shard) for shard in shards_of(definition.file_shards)]
    commit = _commit(site, specs)

    def steps(before: Any) -> dict[str, Any]:
        begun = begin(before)
        outputs = commit(**{capture.name: capture(begun) for capture in captures})
        return {name: getattr(outputs, name) for name in ("result", *map(_output_of, specs))}

    asset = dg.graph_asset(
        key=key,
        ins={
            _UPSTREAM: dg.AssetIn(
                key=site.key(upstream),
                dagster_type=dg.Nothing,
                partition_mapping=dg.TimeWindowPartitionMapping(),
            )
        },
        partitions_def=site.windows(_FILES),
        group_name=group_name(definition.site_id),
        check_specs=specs,
        description=site.description(_FILES),
        owners=list(definition.owners),
        tags=dict(definition.tags),
        kinds=KINDS[_FILES],
    )(steps)
    return asset.map_asset_specs(lambda spec: spec.replace_attributes(freshness_policy=site.freshness(_FILES)))


def _begin(site: SiteAssets) -> dg.OpDefinition:
    definition = site.definition

    @dg.op(
        name=_step_name(site, "begin"),
        description="Takes the component and decides what all shards go by.",
        ins={_UPSTREAM: dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        pool=pool_name(definition.site_id, _FILES),
        tags={"lc2/component": str(_FILES)},
    )
    def begin(context: dg.OpExecutionContext, sites: SitesResource) -> None:
        with translate_errors():
            try:
                attempt_id = begin_shards(
                    sites.open(definition),
                    window=window_of(context, window_length(_FILES)),
                    asked_at=asked_at(context),
                    initiator=initiator_of(context),
                    ticket=ticket_of(context),
                    say=context.log.info,
                )
            except ComponentBusy as busy:
                # The pool made the whole of another run wait; here its slot is free while that run's shards work.
                context.log.info(f"{busy}; asking again in {BUSY_SECONDS} s")
                raise dg.RetryRequested(max_retries=_turns(definition), seconds_to_wait=BUSY_SECONDS) from busy
        context.log.info(f"began attempt {attempt_id}")

    return begin


def _capture(site: SiteAssets, shard: Shard) -> dg.OpDefinition:
    definition = site.definition

    @dg.op(
        name=_step_name(site, f"shard_{shard.number:03d}"),
        description=f"Captures the files below {shard}." if shard.prefix else "Captures the files of no other shard.",
        ins={"begun": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        tags={"lc2/component": str(_FILES), "lc2/shard": str(shard)},
    )
    def capture(context: dg.OpExecutionContext, sites: SitesResource) -> None:
        progress = LoggedProgress(context.log, f"shard {shard}")
        with translate_errors():
            captured = capture_shard(
                sites.open(definition),
                shard.number,
                ticket=ticket_of(context),
                initiator=initiator_of(context),
                progress=progress.objects_done,
                expect=progress.expect,
            ).capture
        counts = captured.counts
        context.log.info(
            f"{shard}: {counts.objects} files, {counts.added} added, {counts.changed} changed, {counts.copied_objects} "
            f"copied, {counts.resumed} taken over"
        )

    return capture


def _commit(site: SiteAssets, specs: list[dg.AssetCheckSpec]) -> dg.OpDefinition:
    definition, key = site.definition, site.key(_FILES)
    captures = [_step_name(site, f"shard_{shard.number:03d}") for shard in shards_of(definition.file_shards)]

    @dg.op(
        name=_step_name(site, "commit"),
        description="Puts the shards together and commits them as one backup.",
        ins={name: dg.In(dg.Nothing) for name in captures},
        out={name: dg.Out(dg.Nothing) for name in ("result", *map(_output_of, specs))},
        pool=pool_name(definition.site_id, _FILES),
        tags={"lc2/component": str(_FILES)},
    )
    def commit(
        context: dg.OpExecutionContext, sites: SitesResource, catalog: CatalogResource
    ) -> Generator[dg.MaterializeResult]:
        with translate_errors():
            opened = sites.open(definition)
            with kept_reported(context, key, opened):
                captured = commit_shards(
                    opened,
                    ticket=ticket_of(context),
                    initiator=initiator_of(context),
                    progress=LoggedProgress(context.log, str(_FILES)).objects_done,
                )
            result = materialized(_FILES, context, key, definition, opened, captured, catalog=catalog)
        yield result

    return commit


def _step_name(site: SiteAssets, step: str) -> str:
    # Names of ops are shared by all assets of a run: two sites with shards must differ in them.
    return f"{site.key(_FILES).to_python_identifier()}__{step}"


def _output_of(spec: dg.AssetCheckSpec) -> str:
    return spec.get_python_identifier()


def _turns(definition: SiteDefinition) -> int:
    """Return how often a run may ask for a component before the other one would have been ended anyway."""
    return max(2, definition.policies.max_run_seconds // BUSY_SECONDS)
