"""How a site file names Bloomreach's HTTP APIs, and how an export from them is opened."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from lc2_backup_dagster.applications.bloomreach.client import ApiClient
from lc2_backup_dagster.applications.bloomreach.content_export import DATA_TYPES, ContentExportRequest
from lc2_backup_dagster.applications.bloomreach.source import BloomreachSource, ExportChoice
from lc2_backup_dagster.applications.bloomreach.token import TokenSource, token_from_file, token_from_variable
from lc2_backup_dagster.applications.bloomreach.versions import versions_of
from lc2_backup_dagster.applications.http.patience import Patience
from lc2_backup_dagster.engines.exports.ports import ExportSource
from lc2_backup_dagster.engines.exports.stored import StoredExport

_Text = Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=r"^[^\x00-\x1f]+$")]


class _Settings(BaseModel):
    """Strict, frozen, camel-case in files, no unknown fields; secrets only as names of variables or files."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, hide_input_in_errors=True
    )


class ContentSettings(_Settings):
    """Which content is exported."""

    source_path: _Text = Field(default="/content/documents", description="Folder that is exported with all below it.")
    data_types: tuple[Literal["document", "page", "resourcebundle", "folder"], ...] = Field(
        default=DATA_TYPES, description="Kinds of content."
    )
    include_version_history: StrictBool = Field(
        default=False, description="Earlier versions of each item, too; where the API knows them."
    )
    wait_seconds: Annotated[int, Field(ge=1, le=86400)] = Field(
        default=7200, description="Longest time until the export operation has ended."
    )


class BloomreachApi(_Settings):
    """Bloomreach's management APIs."""

    kind: Literal["bloomreach"] = Field(description="Where the configuration comes from: Bloomreach's HTTP APIs.")
    base_url: _Text = Field(description="The environment's address, like `https://cms.example`.")
    token_env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = Field(
        default=None, description="Name of the variable with the API token."
    )
    token_file: Path | None = Field(
        default=None, description="File with the API token, read again when the API says that it has expired."
    )
    project: _Text = Field(default="core", description="Project whose content types are exported; `core` is the main.")
    site: StrictBool = Field(default=True, description="Channels with layouts, components, routes and menus, too.")
    content: ContentSettings | None = Field(
        default=ContentSettings(), description="Which content is exported; `null` for none."
    )
    requests_per_second: Annotated[float, Field(gt=0, le=1000)] = Field(
        default=10.0, description="How fast the API is asked at most."
    )
    trust_older_versions: StrictBool = Field(
        default=False,
        description="Take an answer that is older than the export before; for the first export after the environment "
        "itself was set back.",
    )

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if (self.token_env is None) == (self.token_file is None):
            _refuse("does not say where the API token is", "either tokenEnv or tokenFile")
        if not self.base_url.startswith(("https://", "http://")):
            _refuse("has a baseUrl that is no address", "one that begins with https:// (or http://)")
        if self.token_file is not None and not self.token_file.is_absolute():
            _refuse("has a tokenFile that is no absolute path", "a path that begins with /")
        return self

    @property
    def title(self) -> str:
        """What it is, for people."""
        return f"the APIs of {self.base_url}, project {self.project}"


def _refuse(reason: str, allowed: str) -> None:
    raise PydanticCustomError("site_file", "{reason}; allowed: {allowed}", {"reason": reason, "allowed": allowed})


def open_client(config: BloomreachApi, environment: Mapping[str, str]) -> ApiClient:
    """Return a client of the APIs, to be closed; nothing is asked yet.

    Args:
        config: which environment.
        environment: variables; the token is read from there or from its file when it is needed.
    """
    patience = Patience(requests_per_second=config.requests_per_second)
    return ApiClient(config.base_url, _token(config, environment), patience=patience)


@contextmanager
def open_bloomreach(
    config: BloomreachApi, environment: Mapping[str, str], *, scratch: Path, before: StoredExport | None
) -> Generator[ExportSource]:
    """Give the export as a source; its connections are closed afterwards.

    Args:
        config: which environment, and what of it.
        environment: variables; the token is read from there or from its file when it is needed.
        scratch: folder for the content's archive.
        before: the export before, whose versions must not be undercut; None for the first.
    """
    content = config.content
    choice = ExportChoice(
        project=config.project,
        site=config.site,
        content=None
        if content is None
        else ContentExportRequest(
            project=config.project,
            source_path=content.source_path,
            data_types=content.data_types,
            include_version_history=content.include_version_history,
            wait_seconds=float(content.wait_seconds),
        ),
    )
    known = versions_of(before) if before is not None and not config.trust_older_versions else None
    with open_client(config, environment) as client:
        yield BloomreachSource(client, choice=choice, scratch=scratch, versions_before=known)


def _token(config: BloomreachApi, environment: Mapping[str, str]) -> TokenSource:
    if config.token_file is not None:
        return token_from_file(config.token_file)
    assert config.token_env is not None
    return token_from_variable(environment, config.token_env)
