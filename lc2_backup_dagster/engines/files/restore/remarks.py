"""What a person should know of a restore beyond its numbers: everything that is not as in the backup. Pure."""

from lc2_backup_dagster.engines.files.capture.counts import Sampled
from lc2_backup_dagster.engines.files.restore.writing import FilesRestore

_NAMED = 3


def remarks(restored: FilesRestore) -> list[str]:
    """Return a sentence for each thing that was left out or is not as it was, with the first few names."""
    found = [
        (restored.links_left_out, "symbolic links were left out, the target cannot hold them"),
        (restored.folders_left_out, "folders were left out, the target cannot hold them; empty ones are gone"),
        (restored.facts_unset, "files and folders have another owner or mode; only root may give files to others"),
        (restored.unproven, "files were copied by the store and nothing proves their bytes"),
    ]
    return [f"{what.count} {text}: {_names(what)}" for what, text in found if what.count]


def _names(what: Sampled) -> str:
    shown = [f"{key!r} ({reason})" if reason else repr(key) for key, reason in what.samples[:_NAMED]]
    return ", ".join([*shown, "…"] if what.count > len(shown) else shown)
