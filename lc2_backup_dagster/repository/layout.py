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


def heartbeat_key(site: SiteId, attempt_id: str) -> str:
    """Return the key of an attempt's heartbeat, one of the few objects that are overwritten.

    Below the site, so that a project's role needs to write below its own prefixes only (R-27).
    """
    return f"heartbeats/{site}/{attempt_id}/beat.json"


def kit_prefix() -> str:
    """Return the folder of the restore kit of this release; a mended kit stands beside an older one."""
    return f"kit/{__version__}/"
