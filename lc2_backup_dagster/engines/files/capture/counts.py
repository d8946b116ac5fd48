"""What a capture counted, and bounded samples of what it could not read."""

from dataclasses import dataclass, field

SAMPLES = 1000


@dataclass(slots=True)
class Sampled:
    """A list of any length of which the first thousand are kept.

    Attributes:
        count: how many there were.
        samples: key and reason of the first ones.
    """

    count: int = 0
    samples: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def add(self, key: str, reason: str = "") -> None:
        """Count one and keep it if there is room."""
        self.count += 1
        if len(self.samples) < SAMPLES:
            self.samples.append((key, reason))

    def extend(self, other: "Sampled") -> None:
        """Count what another one counted, and keep of its samples what there is room for."""
        self.count += other.count
        self.samples += other.samples[: SAMPLES - len(self.samples)]


@dataclass(slots=True)
class CaptureCounts:
    """Numbers of a capture. What is said of files counts links too, but for the first two; folders count apart.

    Attributes:
        objects: files in the new manifest.
        size_bytes: their plain size together.
        links: links in the new manifest.
        folders: folders in the new manifest.
        added: files the backup before does not have.
        changed: files it has in another version, or with other facts.
        facts_changed: those of them of which only owner, mode or the target of a link changed; nothing was copied.
        unchanged: files it has.
        removed: files it has and the source no longer.
        resumed: added or changed files taken over from a dead attempt.
        copied_objects: files copied by this run.
        copied_bytes: their plain bytes.
        stored_bytes: what the repository grew by, without manifest and journal.
        changed_meanwhile: files of which a later version than the listed one was captured.
        vanished: files gone between listing and copying.
        unreadable: files the source refused; any makes the backup partial.
        store_copies_unencrypted: server-side copies for which the destination reports no encryption at rest.
        sha256_pending: server-side copies whose bytes nobody has read yet.
    """

    objects: int = 0
    size_bytes: int = 0
    links: int = 0
    folders: int = 0
    added: int = 0
    changed: int = 0
    facts_changed: int = 0
    unchanged: int = 0
    removed: int = 0
    resumed: int = 0
    copied_objects: int = 0
    copied_bytes: int = 0
    stored_bytes: int = 0
    changed_meanwhile: int = 0
    vanished: Sampled = field(default_factory=Sampled)
    unreadable: Sampled = field(default_factory=Sampled)
    store_copies_unencrypted: int = 0
    sha256_pending: int = 0
