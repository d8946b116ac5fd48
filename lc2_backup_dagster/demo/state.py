"""What the demo remembers between two calls: its passwords, and what it restored last."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_FILE = "state.json"


@dataclass(slots=True)
class DemoState:
    """The demo's own secrets and leftovers; they protect nothing but seeded data on this machine.

    Attributes:
        superuser_password: of the embedded PostgreSQL.
        owner_password: of the roles that own the applications' databases.
        backup_password: of the role ``lc2_backup``.
        restore_password: of the role ``lc2_restore``.
        dagster_password: of the role ``dagster``, which holds Dagster's storage and the catalog.
        s3_secret_key: of the embedded object store's administrator.
        api_token: of Bloomreach's APIs.
        restored_databases: site → databases that earlier calls restored.
        restored_prefixes: site → prefixes that earlier calls restored files to.
        rounds: how often a backup and a restore were made.
    """

    superuser_password: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    owner_password: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    backup_password: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    restore_password: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    dagster_password: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    s3_secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    api_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    restored_databases: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    restored_prefixes: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    rounds: int = 0

    @classmethod
    def load(cls, home: Path) -> "DemoState":
        """Read the state of a demo's home, or begin a new one there."""
        home.mkdir(parents=True, exist_ok=True)
        path = home / _FILE
        state = cls(**_current(json.loads(path.read_text()))) if path.exists() else cls()
        state.save(home)
        return state

    def save(self, home: Path) -> None:
        """Write the state; readable by its owner only."""
        temporary = home / f"{_FILE}.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file, indent=2)
        temporary.replace(home / _FILE)


def _current(told: dict[str, Any]) -> dict[str, Any]:
    """Return a state as it is written today; the first demo had one site and listed what it restored."""
    lists = [name for name in ("restored_databases", "restored_prefixes") if isinstance(told.get(name), list)]
    return {**told, **{name: {"retail/liferay": told[name]} for name in lists}}
