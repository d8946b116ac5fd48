"""A backup's manifest: everything a restore needs to know, in one JSON object (FORMAT.md, "Manifest")."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lc2_backup_dagster.model.errors import FormatNotSupported, ManifestCorrupt
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.repository import canonical, layout
from lc2_backup_dagster.repository.parts import Part, Stream

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class MomentEntry(_Frozen):
    """When the data was true; see ``model.window.Moment``. Times are RFC 3339 UTC."""

    restorable_from: str
    restorable_until: str
    lsn: str | None = None
    timeline: int | None = None


class StrategyEntry(_Frozen):
    """What was chosen and why (R-2)."""

    chosen: str
    reason: str


class EncryptionEntry(_Frozen):
    """How the parts are sealed, or absent where encryption is off."""

    cipher: Literal["AES256_GCM_HKDF_1MB"]
    key_id: str


class Manifest(_Frozen):
    """What a backup consists of.

    Attributes:
        streams: name → list of parts, each ``[plain_bytes, stored_bytes, plain_sha256, stored_sha256]``.
        details: facts of the component, by kind of component.
    """

    format: int
    repository_id: str
    site: str
    component: Component
    kind: BackupKind
    backup_id: str
    parent: str | None
    bases: list[str]
    started: str
    finished: str
    moment: MomentEntry
    window: str | None
    strategy: StrategyEntry
    encryption: EncryptionEntry | None
    compression: Literal["zstd"]
    streams: dict[str, list[tuple[int, int, Sha256, Sha256]]]
    details: dict[str, Any]
    initiator: dict[str, str | None]
    tool: str

    @model_validator(mode="before")
    @classmethod
    def _from_json(cls, value: Any) -> Any:
        # JSON has no tuples and no enums; strict mode wants both.
        if isinstance(value, dict) and isinstance(value.get("streams"), dict):
            value = {
                **value,
                "component": _enum(Component, value.get("component")),
                "kind": _enum(BackupKind, value.get("kind")),
                "streams": {name: [tuple(part) for part in parts] for name, parts in value["streams"].items()},
            }
        return value

    def stream(self, name: str) -> Stream:
        """Return one stream.

        Raises:
            ManifestCorrupt: the manifest names no such stream.
        """
        if name not in self.streams:
            raise ManifestCorrupt(f"the manifest of {self.backup_id} names no stream '{name}'")
        return Stream(name, tuple(Part(*part) for part in self.streams[name]))

    def all_streams(self) -> list[Stream]:
        """Return every stream, by name."""
        return [self.stream(name) for name in sorted(self.streams)]

    @property
    def plain_bytes(self) -> int:
        """Sum of all streams before compression."""
        return sum(stream.plain_bytes for stream in self.all_streams())

    @property
    def stored_bytes(self) -> int:
        """Sum of all stored parts."""
        return sum(stream.stored_bytes for stream in self.all_streams())


def _enum(kind: type[Component] | type[BackupKind], value: Any) -> Any:
    try:
        return kind(value)
    except ValueError:
        return value


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the canonical bytes of a manifest."""
    return canonical.encode(manifest.model_dump(mode="json"))


def decode_manifest(data: bytes, *, where: str) -> Manifest:
    """Read a manifest.

    Raises:
        FormatNotSupported: written in a newer format.
        ManifestCorrupt: unreadable.
    """
    try:
        fields = canonical.decode_object(data)
        if fields.get("format") != layout.FORMAT_VERSION:
            raise FormatNotSupported(f"{where} has format {fields.get('format')}", hint="use a newer lc2-backup")
        return Manifest.model_validate(fields)
    except (ValueError, TypeError, ValidationError) as error:
        raise ManifestCorrupt(f"{where} is unreadable: {error}", key=where) from error


def stream_entry(stream: Stream) -> list[tuple[int, int, str, str]]:
    """Return a stream as it stands in a manifest."""
    return [(part.plain_bytes, part.stored_bytes, part.plain_sha256, part.stored_sha256) for part in stream.parts]
