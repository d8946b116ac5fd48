"""What a verification found."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from lc2_backup_dagster.engines.files.verify.verify import FilesVerification
from lc2_backup_dagster.repository.history import CommittedBackup


@dataclass(frozen=True, slots=True)
class Damage:
    """Something stored that is not what was promised.

    Attributes:
        backup_id: the backup that needs it.
        key: the object.
        reason: what is wrong.
        affected: files that need it; empty for streams.
    """

    backup_id: str
    key: str
    reason: str
    affected: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class VerifiedFiles:
    """What is known of stored files after a verification.

    Attributes:
        backup_ids: the backups whose files were verified.
        found: what was found.
        damages: everything wrong, damaged lists of files too.
        max_age_days: the set age, or None.
    """

    backup_ids: tuple[str, ...]
    found: FilesVerification
    damages: tuple[Damage, ...]
    max_age_days: int | None


@dataclass(frozen=True, slots=True)
class Verified:
    """What the verification of one backup found.

    Attributes:
        backup: the backup.
        objects: stored objects that were looked at.
        stored_bytes: their promised length.
        damages: everything wrong, empty when the backup can be restored.
        files: of a backup of the files, what is known of the stored objects.
    """

    backup: CommittedBackup
    objects: int
    stored_bytes: int
    damages: tuple[Damage, ...]
    files: VerifiedFiles | None = None


def statement(verified: VerifiedFiles) -> str:
    """Say what a verification of files proves, and what it does not."""
    found = verified.found
    said = [_what_was_read(found)]
    if found.damaged_count:
        said.append(f"{found.damaged_count} are damaged or gone")
    for unknown, why in ((found.refused, "may not be read"), (found.doubtful, "look changed and were not read")):
        if unknown.count:
            said.append(f"{unknown.count} {why}: nothing is known of them")
    if found.over_age:
        said.append(f"{found.over_age} were not read for more than {verified.max_age_days} days")
    if found.due_left:
        said.append(f"{found.due_left} that are due did not fit into this run")
    if found.oldest_seconds is not None:
        said.append(f"the oldest was read, or stored, {found.oldest_seconds / 86400:.1f} days ago")
    return "; ".join(said)


def _what_was_read(found: FilesVerification) -> str:
    read, objects, sample = found.read_objects, found.objects, found.sample
    told = f"{read} of {objects} objects read" if read < objects else f"all {objects} objects read"
    if not read and objects:
        told = f"{objects} objects looked at, none read"
    if sample is None or found.damaged_count or found.refused.count:
        return told
    confidence = f"with {_percent(sample.aim.confidence)} confidence"
    how = "drawn" if sample.drawn == read else f"{sample.drawn} of them drawn"
    drawn = f"{told}, {how} at random with seed {sample.seed}, no damage"
    if sample.drawn == sample.population:
        return f"{told}, no damage"
    if sample.undetected is None:
        return f"{drawn}: {confidence} less than {_percent(sample.aim.share)} of the bytes lie in damaged objects"
    share = _percent(Fraction(sample.undetected, sample.population))
    return f"{drawn}: {confidence} at most {share} ({sample.undetected}) are damaged"


def _percent(share: Fraction) -> str:
    """Return a share in per cent, rounded up: what is said to be a limit must be one."""
    return f"{math.ceil(share * 100_000) / 1000:g} %"
