"""Which tags a run carries, decided from what it will materialize and from who asked. Pure; no Dagster here.

The tags are what the limits of R-27 count in ``dagster.yaml``, and what engineers filter runs by.
"""

from collections.abc import Iterable, Mapping, Sequence

PROJECT_TAG = "lc2/project"
APPLICATION_TAG = "lc2/application"
OPERATION_TAG = "lc2/operation"
INITIATOR_TAG = "lc2/initiator"
# When the run was asked for, RFC 3339 UTC. Dagster's own creation time is that of its database's session, without zone.
ASKED_AT_TAG = "lc2/asked_at"
# Its own key, because a limit "per unique value" of lc2/project would make restores wait for backups.
BACKUP_OF_PROJECT_TAG = "lc2/backup_of_project"

BACKUP = "backup"
RESTORE = "restore"
PLATFORM = "platform"
# One tag holds one value: a run over several projects counts as one more project, under the same limit.
SEVERAL = "several"


def tags_of_selection(asset_keys: Iterable[Sequence[str]]) -> dict[str, str]:
    """Derive the tags of a run from the keys ``<project>/<application>/<asset>`` it was launched for.

    A run with any ``restore`` asset is a restore; a run with only ``platform/…`` assets (or none) is platform work;
    everything else is a backup.
    """
    sites = [tuple(key) for key in asset_keys if len(key) == 3 and key[0] != PLATFORM]
    if not sites:
        return {OPERATION_TAG: PLATFORM}
    project = _single(key[0] for key in sites)
    operation = RESTORE if any(key[2] == RESTORE for key in sites) else BACKUP
    tags = {PROJECT_TAG: project, APPLICATION_TAG: _single(key[1] for key in sites), OPERATION_TAG: operation}
    if operation == BACKUP:
        tags[BACKUP_OF_PROJECT_TAG] = project
    return tags


def initiator_of_request(forwarded_user: str | None) -> str:
    """Name who launched a run through the web server: the proxy's user, or ``local`` where no proxy says who."""
    user = (forwarded_user or "").strip()
    return f"user:{user}" if user else "local"


def initiator_of_automation(tags: Mapping[str, str]) -> str:
    """Name what launched a run without a web request, from the tags Dagster itself sets.

    A backfill's tags come from a launch dialog, so an initiator among them is not believed. Tags of schedules, sensors
    and automatic retries come from code or from the run before: an initiator there stays (a sensor that carries out a
    request names its requester, a retry names the first one).
    """
    if backfill := tags.get("dagster/backfill"):
        return f"backfill:{backfill}"
    if known := tags.get(INITIATOR_TAG):
        return known
    if schedule := tags.get("dagster/schedule_name"):
        return f"schedule:{schedule}"
    if sensor := tags.get("dagster/sensor_name"):
        return f"sensor:{sensor}"
    return "local"


def _single(values: Iterable[str]) -> str:
    distinct = sorted(set(values))
    return distinct[0] if len(distinct) == 1 else SEVERAL
