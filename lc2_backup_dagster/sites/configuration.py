"""The part of a site file that is about the application's configuration: where it comes from, what is taken of it."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from lc2_backup_dagster.applications.registry import ConfigurationApi, open_configuration_api
from lc2_backup_dagster.clouds.prefixed import PrefixedStore
from lc2_backup_dagster.clouds.registry import StoreConfig, open_store
from lc2_backup_dagster.engines.exports.cleaning import CleanedSource
from lc2_backup_dagster.engines.exports.directory_source import DirectorySource
from lc2_backup_dagster.engines.exports.joined import JoinedSource
from lc2_backup_dagster.engines.exports.ports import ExportFacts, ExportSource
from lc2_backup_dagster.engines.exports.store_source import StoreSource
from lc2_backup_dagster.model.application import Application
from lc2_backup_dagster.model.globs import FileSelection
from lc2_backup_dagster.operations.site_context import ConfigurationAccess, ExportNeeds
from lc2_backup_dagster.sites.values import AbsolutePath, Glob, Prefix, Strict


class FromHooks(Strict):
    """What commands leave behind."""

    kind: Literal["hooks"] = Field(
        description="Where the configuration comes from: the artefacts of `hooks` with `storeArtifact`."
    )


class FromDirectory(Strict):
    """A folder that the service can read."""

    kind: Literal["directory"] = Field(description="Where the configuration comes from: a mounted folder.")
    path: AbsolutePath = Field(description="The folder; regular files below it are taken, links are refused.")


class FromStore(Strict):
    """A folder of an object store."""

    kind: Literal["store"] = Field(description="Where the configuration comes from: a folder of an object store.")
    store: StoreConfig = Field(description="The object store; only ever read.")
    prefix: Prefix = Field(default="", description="Folder inside the bucket.")


ConfigurationSource = Annotated[FromHooks | FromDirectory | FromStore | ConfigurationApi, Field(discriminator="kind")]


class Configuration(Strict):
    """The application's configuration, captured beside database and files so that two days can be compared."""

    source: ConfigurationSource = Field(description="Where it comes from.")
    include: tuple[Glob, ...] = Field(
        default=(), description="Globs of documents to take; empty means all. Excludes win over includes."
    )
    exclude: tuple[Glob, ...] = Field(
        default=(), description="Globs of documents to leave out, besides those that the application never gives."
    )
    required: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        default=None,
        description="Paths of documents without which an export fails. Given, the list replaces the application's own "
        "(Drupal: `core.extension.yml`).",
    )


def configuration_access(
    told: Configuration, application: Application, environment: Mapping[str, str]
) -> ConfigurationAccess:
    """Open a site's configuration; nothing connects before it is captured."""
    selection = FileSelection(includes=told.include, excludes=(*application.configuration_excludes, *told.exclude))

    @contextmanager
    def open_source(needs: ExportNeeds) -> Generator[ExportSource]:
        with _opened(told.source, needs, environment, selects=selection.selects) as source:
            yield CleanedSource(source, selects=selection.selects, clean=application.clean_configuration)

    return ConfigurationAccess(
        open_source=open_source,
        required=application.configuration_required if told.required is None else told.required,
        origin=_origin(told.source),
    )


@contextmanager
def _opened(
    source: FromHooks | FromDirectory | FromStore | ConfigurationApi,
    needs: ExportNeeds,
    environment: Mapping[str, str],
    *,
    selects: Callable[[str], bool],
) -> Generator[ExportSource]:
    match source:
        case FromHooks():
            yield JoinedSource({f"hook {folder.name}": DirectorySource(folder) for folder in _folders(needs.artifacts)})
        case FromDirectory():
            # A folder may hold what may not even be read: what is left out is not opened.
            facts = ExportFacts({"source": str(source.path)})
            yield DirectorySource(source.path, include=selects, facts=facts)
        case FromStore():
            store = open_store(source.store, environment=environment)
            below = PrefixedStore(store, source.prefix) if source.prefix else store
            yield StoreSource(below, include=selects)
        case _:
            with open_configuration_api(source, environment, scratch=needs.scratch, before=needs.before) as opened:
                yield opened


def _folders(artifacts: Path) -> list[Path]:
    return sorted(each for each in artifacts.iterdir() if each.is_dir())


def _origin(source: FromHooks | FromDirectory | FromStore | ConfigurationApi) -> str:
    match source:
        case FromHooks():
            return "what its hooks wrote"
        case FromDirectory():
            return f"the folder {source.path}"
        case FromStore():
            return f"a folder of a store, {source.prefix or '/'}"
        case _:
            return source.title
