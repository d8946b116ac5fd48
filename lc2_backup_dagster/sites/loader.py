"""Loads site files, each by itself: a wrong one is reported by file and line and takes no other site down."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.sites.problem import SiteProblem
from lc2_backup_dagster.sites.refusals import problems_of
from lc2_backup_dagster.sites.schema import SiteDefinition
from lc2_backup_dagster.sites.yaml_tree import MAX_BYTES, read_tree

SITES_VARIABLE = "LC2_BACKUP_SITES"
_ENDINGS = frozenset({".yaml", ".yml"})


@dataclass(frozen=True, slots=True)
class LoadedSites:
    """What a set of folders holds.

    Attributes:
        sites: the sites that may be used, ordered by id.
        problems: what is wrong, ordered by file and line; a file with a problem gives no site.
        files: mapping of site id → the file that defines it.
    """

    sites: tuple[SiteDefinition, ...]
    problems: tuple[SiteProblem, ...]
    files: Mapping[SiteId, Path] = field(default_factory=dict[SiteId, Path])

    def site(self, site_id: SiteId) -> SiteDefinition:
        """Return one site.

        Raises:
            ConfigurationError: there is none of that id; the hint lists those there are.
        """
        for definition in self.sites:
            if definition.site_id == site_id:
                return definition
        known = ", ".join(str(definition.site_id) for definition in self.sites) or "none"
        broken = f"; {len(self.problems)} problems keep files out, see lc2-backup check" if self.problems else ""
        raise ConfigurationError(f"there is no site '{site_id}'", hint=f"the sites are: {known}{broken}")


def site_folders(environment: Mapping[str, str], *, given: str | None = None) -> tuple[Path, ...]:
    """Return the folders (or single files) that hold site files.

    Args:
        environment: the variables; ``LC2_BACKUP_SITES`` is read.
        given: folders named on a command line, which go first; separated like the variable's by ``os.pathsep``.

    Raises:
        ConfigurationError: neither names a folder.
    """
    text = given or environment.get(SITES_VARIABLE, "")
    folders = tuple(Path(part) for part in text.split(os.pathsep) if part)
    if not folders:
        raise ConfigurationError(
            f"no folder of site files is named: {SITES_VARIABLE} is not set",
            hint=f"set {SITES_VARIABLE} to a folder of site files, several separated by '{os.pathsep}'",
        )
    return folders


def load_sites(folders: Iterable[Path], *, environment: Mapping[str, str]) -> LoadedSites:
    """Load every ``*.yaml`` and ``*.yml`` directly inside the folders; never raises for what a file holds.

    Hidden names are passed over (a mounted ConfigMap has some). Two files of one site: the first, in the order of
    folders and names, is used; the second is a problem that names both.

    Args:
        folders: folders, or single files.
        environment: the variables that ``{env: NAME}`` reads.
    """
    sites: dict[SiteId, SiteDefinition] = {}
    files: dict[SiteId, Path] = {}
    problems: list[SiteProblem] = []
    for file in _site_files(folders, problems):
        definition, found = load_site(file, environment=environment)
        if definition is None:
            problems.extend(found)
            continue
        site_id = definition.site_id
        # The orchestrator knows a site by its word: my-shop/liferay and my_shop/liferay would be one.
        same = next((each for each in sites if each.word == site_id.word), None)
        if same is not None:
            problems.append(_duplicate(file, site_id=site_id, same=same, first=files[same]))
            continue
        sites[site_id], files[site_id] = definition, file
    ordered = tuple(sites[site_id] for site_id in sorted(sites))
    problems.sort(key=lambda problem: (str(problem.file), problem.line or 0, problem.column or 0))
    return LoadedSites(sites=ordered, problems=tuple(problems), files=files)


def load_site(file: Path, *, environment: Mapping[str, str]) -> tuple[SiteDefinition | None, list[SiteProblem]]:
    """Load one site file: its definition and no problem, or no definition and all of its problems."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        return None, [SiteProblem(file, 1, 1, "", "", f"cannot be read: {error.strerror}", "a readable file")]
    return parse_site(content, file=file, environment=environment)


def parse_site(
    content: bytes, *, file: Path, environment: Mapping[str, str]
) -> tuple[SiteDefinition | None, list[SiteProblem]]:
    """Read the content of one site file; pure."""
    tree = read_tree(content, file=file, environment=environment)
    problems = tree.problems
    if tree.value is None:
        return None, problems
    try:
        # By alias only: in a file every field has one spelling.
        definition = SiteDefinition.model_validate(tree.value, by_alias=True, by_name=False)
    except ValidationError as error:
        problems = [*problems, *problems_of(error, tree=tree)]
        problems.sort(key=lambda problem: (problem.line or 0, problem.column or 0))
        return None, problems
    return (None, problems) if problems else (definition, [])


def _site_files(folders: Iterable[Path], problems: list[SiteProblem]) -> list[Path]:
    """List the files once each, in the order of folders and names; note folders that cannot be read."""
    found: dict[Path, Path] = {}
    for folder in folders:
        try:
            inside = [folder] if folder.is_file() else sorted(folder.iterdir())
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
            problems.append(SiteProblem(folder, None, None, "", "", reason, "a folder of site files"))
            continue
        for file in inside:
            if file.suffix in _ENDINGS and not file.name.startswith(".") and not file.is_dir():
                found.setdefault(file.resolve(), file)
    return list(found.values())


def _duplicate(file: Path, *, site_id: SiteId, same: SiteId, first: Path) -> SiteProblem:
    likeness = "" if same == site_id else f" as {same}, whose name differs in '-' and '_' only"
    return SiteProblem(
        file=file,
        line=1,
        column=1,
        field="",
        given="",
        reason=f"defines site {site_id}, which {first} defines already{likeness}",
        allowed="one file for each site; give this one another project or name",
    )
