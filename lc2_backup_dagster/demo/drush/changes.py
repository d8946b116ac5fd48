"""How two configurations differ, in the order in which Drupal's ``StorageComparer`` tells it. Pure."""

from dataclasses import dataclass

from lc2_backup_dagster.demo.drush.storages import DEFAULT, Key, Objects
from lc2_backup_dagster.demo.seed.php_values import serialize


@dataclass(frozen=True, slots=True)
class Changes:
    """What makes a target equal to a source.

    Attributes:
        create: objects that only the source has.
        update: objects that differ; the order of keys counts, as it does for PHP's ``!==``.
        delete: objects that only the target has.
    """

    create: tuple[Key, ...]
    update: tuple[Key, ...]
    delete: tuple[Key, ...]

    def __bool__(self) -> bool:
        return bool(self.create or self.update or self.delete)

    def rows(self) -> list[tuple[str, str, str]]:
        """Return ``(collection, name, operation)`` by collection, operation and name."""
        named = (("Create", self.create), ("Update", self.update), ("Delete", self.delete))
        rows = [(collection, name, operation) for operation, keys in named for collection, name in keys]
        return sorted(rows, key=lambda row: row[0])


def compare(source: Objects, target: Objects) -> Changes:
    """Return what would make the target equal to the source."""
    common = [key for key in source if key in target]
    return Changes(
        create=tuple(key for key in source if key not in target),
        update=tuple(key for key in common if serialize(source[key]) != serialize(target[key])),
        delete=tuple(key for key in target if key not in source),
    )


def validate(source: Objects, target: Objects) -> list[str]:
    """Return why an import is refused, in Drupal's words; empty when it is not.

    These are the checks of ``SystemConfigSubscriber`` and ``ConfigImportSubscriber`` that need no code of modules.
    """
    names = {name for collection, name in source if collection == DEFAULT}
    if not names:
        return ["This import is empty and if applied would delete all of your configuration, so has been rejected."]
    errors: list[str] = []
    if "system.site" not in names:
        errors.append("This import does not contain system.site configuration, so has been rejected.")
    if _uuid(source) != _uuid(target):
        errors.append("Site UUID in source storage does not match the target storage.")
    if "core.extension" not in names:
        errors.append("The core.extension configuration does not exist.")
        return errors
    wanted = source[DEFAULT, "core.extension"]
    profile, old = wanted.get("profile"), target.get((DEFAULT, "core.extension"), {}).get("profile")
    if profile != old:
        errors.append(
            f"Cannot change the install profile from {_emphasised(old)} to {_emphasised(profile)} "
            "once Drupal is installed."
        )
    extensions = {kind: _names(wanted.get(kind)) for kind in ("module", "theme")}
    for name in sorted(names):
        errors += _dependencies(name, source, {**extensions, "config": names})
    return errors


def _dependencies(name: str, source: Objects, existing: dict[str, set[str]]) -> list[str]:
    owner, shown = name.split(".", 1)[0], _emphasised(name)
    if owner != "core" and owner not in existing["module"] | existing["theme"]:
        return [
            f"Configuration {shown} depends on the {_emphasised(owner)} extension "
            "that will not be installed after import."
        ]
    value = source[DEFAULT, name]
    needed = value.get("dependencies")
    if "uuid" not in value or not isinstance(needed, dict):
        return []
    endings = {
        "module": ("module", "modules ({})", "will not be installed after import."),
        "theme": ("theme", "themes ({})", "will not be installed after import."),
        "config": ("configuration", "configuration ({})", "will not exist after import."),
    }
    errors: list[str] = []
    for kind, (word, several, ending) in endings.items():
        missing = [str(each) for each in _list(needed.get(kind)) if str(each) not in existing[kind]]
        if len(missing) == 1:
            errors.append(f"Configuration {shown} depends on the {_emphasised(missing[0])} {word} that {ending}")
        elif missing:
            listed = several.format(_emphasised(", ".join(missing)))
            errors.append(f"Configuration {shown} depends on {listed} that {ending}")
    return errors


def _uuid(objects: Objects) -> object:
    return objects.get((DEFAULT, "system.site"), {}).get("uuid")


def _names(value: object) -> set[str]:
    return {str(name) for name in value} if isinstance(value, dict) else set()


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def _emphasised(value: object) -> str:
    """Return a placeholder as Drupal prints it in messages."""
    return f'<em class="placeholder">{value}</em>'
