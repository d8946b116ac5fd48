"""Every error of the project, in families by who may act on it.

    BackupError
    ├── TransientError            try again, nothing is broken
    │   ├── StoreUnavailable      the object store timed out, throttled or answered 5xx
    │   ├── ServerUnavailable     PostgreSQL cannot be reached right now
    │   ├── ServiceUnavailable    an application's API timed out, throttled or answered 5xx
    │   ├── ComponentBusy         another attempt holds the component
    │   └── CatalogUnavailable    the catalog database cannot be reached (never blocks a backup)
    ├── PermanentError            a person acts
    │   ├── ConfigurationError    a site file, an option or an environment variable is wrong
    │   ├── AccessDenied          credentials are wrong or lack a right
    │   ├── BucketNotFound        the bucket or directory does not exist
    │   ├── ObjectNotFound        the object is certainly absent (404; never 403 or 503)
    │   ├── AlreadyExists         a create-only write found the key taken
    │   ├── SourceChanged         the object changed between listing and reading
    │   ├── KeyNotRepresentable   the store cannot hold this key
    │   ├── StorageFull           no space left in scratch, in a directory store or on the target
    │   ├── WrongKey              the site's key does not open the repository's data keys
    │   ├── ToolMissing           a PostgreSQL tool was not found
    │   ├── ToolTooOld            a PostgreSQL tool is older than the server
    │   ├── ToolFailed            a PostgreSQL tool ended with an error
    │   ├── MissingPrivilege      the database role lacks a right
    │   ├── IncrementRefused      the server cannot make this increment; a full backup would succeed
    │   ├── WindowNotRestorable   a past window cannot be filled honestly
    │   ├── RecoveryPointNotFound no such backup or recovery point
    │   ├── TargetNotEmpty        a restore would overwrite something
    │   ├── RowsDangling          too many rows name files that are missing
    │   ├── BackupPartial         some files could not be read; the rest was kept, labelled partial
    │   ├── ComponentMissing      a recovery point lacks a component of its window
    │   ├── AfterRestoreFailed    the data is restored, but what was to follow (an import, a CDN) failed
    │   ├── RestoreMismatch       what was restored is not what was backed up
    │   ├── TargetUnreachable     a recovery target lies outside what can be restored, or was not reached
    │   ├── FilesUnverified       stored files that must be read back were not: nothing proves that they are whole
    │   ├── SlotLost              the server has discarded WAL that was not archived yet
    │   ├── PurgeRefused          a purge would take what is still needed
    │   ├── RequestRefused        an application's API refused what was asked of it
    │   ├── AnswerInvalid         an application's API answered what its contract excludes
    │   ├── ResourceConflict      a resource was changed by somebody else since it was read
    │   ├── ExportFailed          an application could not make its export, or not in time
    │   ├── ExportInvalid         an export lacks documents, or holds one that cannot be kept
    │   ├── HookFailed            a command before a backup failed, or left no usable artefact
    │   │   └── HookTimedOut      it was stopped at the end of its time
    │   └── Fenced                this attempt was superseded; its commit is refused
    └── IntegrityError            alarm; never fall back to something else
        ├── PartCorrupt           a stored object does not have the bytes its manifest promises
        ├── PartMissing           a stored object that a manifest names is gone
        ├── ManifestCorrupt       a manifest is unreadable or not the one its log record names
        ├── ChainBroken           an ancestor of an incremental, or WAL in the middle of a range, is gone
        ├── WalDiverged           a WAL segment is archived already with other content
        ├── ExportCorrupt         an export's documents are not those of its index
        ├── ResourceWentBack      an API gave an older version of a resource than before
        ├── LogCorrupt            the commit log has a gap, a broken hash chain or a forged record
        └── FormatNotSupported    the repository was written by a newer format

Messages are lower case, say what and where, then ``hint: …``. Foreign exceptions are translated where they are
raised, at the adapter, with ``raise … from error``.
"""


class BackupError(Exception):
    """Any failure of the service.

    Args:
        message: what happened and where, lower case, without a final full stop.
        hint: what a person can do about it.
        **attributes: ids and places, kept as attributes for callers and structured logs.
    """

    def __init__(self, message: str, *, hint: str | None = None, **attributes: object) -> None:
        super().__init__(f"{message}; hint: {hint}" if hint else message)
        self.message = message
        self.hint = hint
        self.attributes = attributes

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with keyword arguments, so that errors cross process borders unharmed."""
        return (_rebuild, (type(self), self.message, self.hint, self.attributes))


def _rebuild(kind: type[BackupError], message: str, hint: str | None, attributes: dict[str, object]) -> BackupError:
    return kind(message, hint=hint, **attributes)


class TransientError(BackupError):
    """May be retried as it is."""


class StoreUnavailable(TransientError):
    """The object store timed out, throttled or answered 5xx. Never taken for absence (L-28)."""


class ServerUnavailable(TransientError):
    """PostgreSQL cannot be reached right now."""


class ServiceUnavailable(TransientError):
    """An application's API timed out, throttled or answered 5xx, for longer than we wait. Never taken for absence."""


class ComponentBusy(TransientError):
    """Another live attempt holds the component; the message says who."""


class CatalogUnavailable(TransientError):
    """The catalog cannot be reached; backups go on, the log is the truth."""


class PermanentError(BackupError):
    """Retrying will not help; a person acts."""


class ConfigurationError(PermanentError):
    """A site file, an option or an environment variable is wrong."""


class AccessDenied(PermanentError):
    """Credentials are wrong or lack a right. Never taken for absence (L-28)."""


class BucketNotFound(PermanentError):
    """The bucket or directory does not exist."""


class ObjectNotFound(PermanentError):
    """The object is certainly absent."""


class AlreadyExists(PermanentError):
    """A create-only write found the key taken."""


class SourceChanged(PermanentError):
    """An object changed between listing and reading."""


class KeyNotRepresentable(PermanentError):
    """The store cannot hold this key."""


class StorageFull(PermanentError):
    """No space left where something had to be written."""


class WrongKey(PermanentError):
    """The site's key does not open the repository's data keys."""


class ToolMissing(PermanentError):
    """A PostgreSQL tool was not found."""


class ToolTooOld(PermanentError):
    """A PostgreSQL tool is older than the server (L-29)."""


class ToolFailed(PermanentError):
    """A PostgreSQL tool ended with an error; the message holds its last lines."""


class MissingPrivilege(PermanentError):
    """The database role lacks a right; the hint prints the GRANT."""


class IncrementRefused(PermanentError):
    """The server cannot make this increment (summaries missing, other timeline or cluster); a full would succeed."""


class WindowNotRestorable(PermanentError):
    """A past window cannot be filled honestly (L-32); the message names the nearest restorable moments."""


class RecoveryPointNotFound(PermanentError):
    """No such backup or recovery point."""


class TargetNotEmpty(PermanentError):
    """A restore would overwrite something (L-27)."""


class RowsDangling(PermanentError):
    """Too many rows name files that are missing; the recovery point is not promised (R-26)."""


class BackupPartial(PermanentError):
    """Some files could not be read; the rest was kept as a backup that is never called complete (L-22)."""


class ComponentMissing(PermanentError):
    """A recovery point cannot be bound, because a component of its window was not captured."""


class RestoreMismatch(PermanentError):
    """What was restored is not what was backed up."""


class TargetUnreachable(PermanentError):
    """A recovery target lies outside what can be restored, or recovery ended before it (L-14, L-15)."""


class FilesUnverified(PermanentError):
    """Stored files that must be read back were not, in time or at all: nothing proves that they are whole."""


class SlotLost(PermanentError):
    """The server has discarded WAL that was not archived yet; point-in-time recovery has a gap from there."""


class PurgeRefused(PermanentError):
    """A purge would take what is held, not expired, or needed by something that stays; nothing was purged."""


class RequestRefused(PermanentError):
    """An application's API refused what was asked of it (400 and the like); the message holds its reason."""


class AnswerInvalid(PermanentError):
    """An application's API answered what its contract excludes: wrong JSON, half a page, a truncated archive."""


class ResourceConflict(PermanentError):
    """A resource was changed by somebody else since it was read; nothing was overwritten."""


class ExportFailed(PermanentError):
    """An application could not make its export, or not within the time it was given."""


class ExportInvalid(PermanentError):
    """An export lacks documents, or holds one that is too large, does not parse or has no usable path."""


class AfterRestoreFailed(PermanentError):
    """All data is restored and stays, but what was to follow failed; it is done by hand, not by restoring again."""


class HookFailed(PermanentError):
    """A command before a backup failed, or left no usable artefact; the attribute ``output`` has what it said."""


class HookTimedOut(HookFailed):
    """A command before a backup had not ended when its time was over, and was stopped."""


class Fenced(PermanentError):
    """This attempt was superseded or ended; its commit is refused (L-3)."""


class IntegrityError(BackupError):
    """Alarm: stored data is not what was promised."""


class PartCorrupt(IntegrityError):
    """A stored object does not have the bytes its manifest promises."""


class PartMissing(IntegrityError):
    """A stored object that a manifest names is gone."""


class ManifestCorrupt(IntegrityError):
    """A manifest is unreadable or not the one its log record names."""


class ChainBroken(IntegrityError):
    """An ancestor of an incremental backup, or WAL in the middle of a range, is gone."""


class WalDiverged(IntegrityError):
    """A WAL segment is archived already with other content: two servers, or two histories, use one name."""


class ExportCorrupt(IntegrityError):
    """An export's documents are not those of its index."""


class ResourceWentBack(IntegrityError):
    """An application's API gave an older version of a resource than it had given before."""


class LogCorrupt(IntegrityError):
    """The commit log has a gap, a broken hash chain or a forged record."""


class FormatNotSupported(IntegrityError):
    """The repository was written in a newer format."""
