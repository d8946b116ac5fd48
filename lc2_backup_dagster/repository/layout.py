"""Where everything lies in a repository: pure functions from names to object keys (FORMAT.md, "Layout")."""

from lc2_backup_dagster import __version__
from lc2_backup_dagster.model.site import Component, SiteId

FORMAT_VERSION = 1
MARKER = "lc2-repository.json"
SEQUENCE_DIGITS = 20
PART_DIGITS = 6


def log_prefix(site: SiteId) -> str:
    """Return the folder of a site's commit log."""
    return f"log/{site}/"


def log_key(site: SiteId, sequence: int) -> str:
    """Return the key of one record; twenty digits make text order number order."""
    return f"{log_prefix(site)}{sequence:0{SEQUENCE_DIGITS}d}.json"


def checkpoint_prefix(site: SiteId) -> str:
    """Return the folder of a log's checkpoints."""
    return f"{log_prefix(site)}checkpoints/"


def checkpoint_key(site: SiteId, sequence: int) -> str:
    """Return the key of the checkpoint that folds all records up to ``sequence``."""
    return f"{checkpoint_prefix(site)}{sequence:0{SEQUENCE_DIGITS}d}.json"


def backup_prefix(site: SiteId, component: Component, backup_id: str) -> str:
    """Return the folder of one attempt, whether it became a backup or not."""
    return f"backups/{site}/{component}/{backup_id}/"


def manifest_key(site: SiteId, component: Component, backup_id: str) -> str:
    """Return the key of a backup's manifest."""
    return f"{backup_prefix(site, component, backup_id)}manifest.json"


def part_key(prefix: str, stream: str, number: int) -> str:
    """Return the key of one part of a stream below the backup's folder."""
    return f"{prefix}{stream}/{number:0{PART_DIGITS}d}"


def keys_prefix(site: SiteId) -> str:
    """Return the folder of a site's wrapped data keys."""
    return f"keys/{site}/"


def heartbeats_prefix(site: SiteId) -> str:
    """Return the folder of a site's heartbeats, one folder for each attempt below it."""
    return f"heartbeats/{site}/"


def heartbeat_key(site: SiteId, attempt_id: str) -> str:
    """Return the key of an attempt's heartbeat, one of the few objects that are overwritten.

    Below the site, so that a project's role needs to write below its own prefixes only (R-27).
    """
    return f"{heartbeats_prefix(site)}{attempt_id}/beat.json"


def purges_prefix(site: SiteId) -> str:
    """Return the folder of what a site's purges wrote down, one folder for each below it."""
    return f"purges/{site}/"


def purge_prefix(site: SiteId, purge_id: str) -> str:
    """Return the folder of one purge."""
    return f"{purges_prefix(site)}{purge_id}/"


def purge_finished_key(site: SiteId, purge_id: str) -> str:
    """Return the key of the object that says that a purge has deleted everything it listed."""
    return f"{purge_prefix(site, purge_id)}finished.json"


def verified_prefix(site: SiteId) -> str:
    """Return the folder of what verifications of a site's files found out, one folder for each of them below it."""
    return f"verified/{site}/"


def kit_prefix() -> str:
    """Return the folder of the restore kit of this release; a mended kit stands beside an older one."""
    return f"kit/{__version__}/"


def wal_prefix(site: SiteId) -> str:
    """Return the folder of all archived WAL of a site, one folder for each database system below it."""
    return f"wal/{site}/"


def wal_system_prefix(site: SiteId, system_identifier: str) -> str:
    """Return the folder of one database system's WAL; two systems never share names of segments."""
    return f"{wal_prefix(site)}{system_identifier}/"


def wal_timeline_prefix(system_prefix: str, timeline: int) -> str:
    """Return the folder of one timeline's segments."""
    return f"{system_prefix}{timeline:08X}/"


def wal_segment_key(system_prefix: str, name: str) -> str:
    """Return the key of a whole segment; its first eight digits are the timeline's folder."""
    return f"{system_prefix}{name[:8]}/{name}"


def wal_partial_prefix(system_prefix: str, name: str) -> str:
    """Return the folder of what there is of a segment that is not whole yet."""
    return f"{wal_segment_key(system_prefix, name)}.partial/"


def wal_partial_key(system_prefix: str, name: str, end_lsn: int) -> str:
    """Return the key of a segment's beginning; sixteen digits make text order position order."""
    return f"{wal_partial_prefix(system_prefix, name)}{end_lsn:016X}"


def wal_history_key(system_prefix: str, timeline: int) -> str:
    """Return the key of a timeline's history file."""
    return f"{system_prefix}{timeline:08X}.history"


def wal_position_key(system_prefix: str) -> str:
    """Return the key of how far, and until when, WAL is archived; one of the few objects that are overwritten."""
    return f"{system_prefix}position.json"


def wal_gap_prefix(system_prefix: str) -> str:
    """Return the folder of what is known to be missing for ever."""
    return f"{system_prefix}gaps/"
