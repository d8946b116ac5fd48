"""Checks as Dagster knows them: specs for the asset page, results from plain outcomes.

They are not partitioned (partitioned checks are in preview, and their node stays red although a later partition
passed); each evaluates what the run's own partition captured.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.checks import Outcome

_CHECKSUMS = "SHA-256 of every stored part, read back from the repository and decoded before the commit."
_ENCRYPTED = "Everything stored is encrypted at rest: by this service, or by the store as it reports itself."
_PLAUSIBLE = "The size against the median of the site's own earlier backups; a collapse or an explosion warns."
_CHAIN = "Everything a restore needs besides the backup itself is there: WAL from its start to its stop, its parents."
_COMPLETE = "Every listed file was captured; unreadable ones make the backup partial and are listed."
_EXPORT = "The export holds the documents it must have, every JSON and YAML document parses, nothing was refused."
_ROWS = "Rows that name files, read in the dump's own snapshot, joined with the files that were captured."

_OF_COMPONENT: Mapping[Component, tuple[tuple[str, str, bool], ...]] = {
    Component.DATABASE: (
        ("checksums", _CHECKSUMS, True),
        ("chain_complete", _CHAIN, True),
        ("encrypted", _ENCRYPTED, True),
        ("size_is_plausible", _PLAUSIBLE, False),
    ),
    Component.DATABASE_DUMP: (
        ("checksums", _CHECKSUMS, True),
        ("encrypted", _ENCRYPTED, True),
        ("size_is_plausible", _PLAUSIBLE, False),
    ),
    Component.FILES: (
        ("checksums", _CHECKSUMS, True),
        ("encrypted", _ENCRYPTED, False),
        ("files_complete", _COMPLETE, False),
        ("size_is_plausible", _PLAUSIBLE, False),
    ),
    Component.CONFIGURATION: (
        ("checksums", _CHECKSUMS, True),
        ("encrypted", _ENCRYPTED, True),
        ("export_complete", _EXPORT, True),
        ("size_is_plausible", _PLAUSIBLE, False),
    ),
    Component.RECOVERY_POINT: (("files_match_rows", _ROWS, True),),
}


def check_specs(component: Component, key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Return the specs of a component's checks."""
    return [
        dg.AssetCheckSpec(name, asset=key, description=description, blocking=blocking)
        for name, description, blocking in _OF_COMPONENT[component]
    ]


def check_result(outcome: Outcome) -> dg.AssetCheckResult:
    """Translate an outcome."""
    severity = dg.AssetCheckSeverity.ERROR if outcome.blocking else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        check_name=outcome.name,
        passed=outcome.passed,
        severity=severity,
        description=outcome.message,
        metadata={name: _value(value) for name, value in outcome.facts.items() if value is not None},
    )


def _value(value: Any) -> dg.MetadataValue:
    if isinstance(value, bool):
        return dg.MetadataValue.bool(value)
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    if isinstance(value, float):
        return dg.MetadataValue.float(value)
    if isinstance(value, str):
        return dg.MetadataValue.text(value)
    return dg.MetadataValue.json(value)
