"""The part of a site file that is about restores: where they go by default, and what follows them."""

from typing import Self

from pydantic import Field, model_validator

from lc2_backup_dagster.clouds.registry import StoreConfig
from lc2_backup_dagster.sites.after_restore import Cdn
from lc2_backup_dagster.sites.commands import ImportCommand
from lc2_backup_dagster.sites.values import AbsolutePath, Port, SslMode, Strict, Text, Variable, refuse


class RestoreServer(Strict):
    """The server that restored databases are made on; what is absent is taken from `database`."""

    host: Text | None = Field(default=None, description="Name or address of the server; `database.host` when absent.")
    port: Port | None = Field(default=None, description="Port of the server; `database.port` when absent.")
    user: Text | None = Field(default=None, description="Role that may create databases; `database.user` when absent.")
    password_env: Variable | None = Field(
        default=None,
        description="Name of the variable with its password; `database.passwordEnv` when `user` is absent.",
    )
    ssl_mode: SslMode | None = Field(default=None, description="libpq's `sslmode`; `database.sslMode` when absent.")
    ca_file: AbsolutePath | None = Field(
        default=None, description="Certificates that are trusted; `database.caFile` when absent."
    )
    maintenance_database: Text = Field(default="postgres", description="Database to connect to for making new ones.")

    @model_validator(mode="after")
    def _password_has_a_user(self) -> Self:
        if self.password_env and not self.user:
            refuse("has passwordEnv without user", allowed="both, or neither")
        return self


class RestoreFiles(Strict):
    """Where restored files go by default, and who is told of them."""

    store: StoreConfig | None = Field(
        default=None,
        description="The object store that restored files are written to; a launch must name a bucket when this is "
        "absent.",
    )
    cdn: Cdn | None = Field(
        default=None,
        description="The CDN before the application's files, told of what a restore into `files.source` writes or "
        "deletes.",
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.store is None and self.cdn is None:
            refuse("says nothing", allowed="store, cdn, or both")
        return self


class RestoreConfiguration(Strict):
    """Where restored configurations go by default."""

    directory: AbsolutePath = Field(
        description="Folder on the machine that runs the restore; each restore makes a new one in it, named after the "
        "backup."
    )
    import_command: ImportCommand | None = Field(
        default=None,
        description="Imports the restored documents into the application, like `drush config:import`; runs only where "
        "a restore asks for it.",
    )


class Restore(Strict):
    """Where restores go unless a launch says otherwise. Always to new names; nothing is overwritten by default."""

    database: RestoreServer = Field(
        default=RestoreServer(), description="The server that restored databases are made on."
    )
    files: RestoreFiles | None = Field(default=None, description="Where restored files go, and who is told of them.")
    configuration: RestoreConfiguration | None = Field(
        default=None,
        description="Where restored configurations go; when this is absent and a launch names no directory, a full "
        "restore leaves the configuration out and says so.",
    )
