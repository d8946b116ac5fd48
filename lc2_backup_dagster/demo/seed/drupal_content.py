"""Rows of a seeded Drupal: people, taxonomy, nodes with their fields, and the files they use."""
# ruff: noqa: RUF005  rows are added up from groups of columns: as one tuple each value would take a line

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from lc2_backup_dagster.demo.seed.drupal_files import ManagedFile
from lc2_backup_dagster.demo.seed.drupal_scale import NODE_TYPES, ROLES, VOCABULARIES, DrupalScale
from lc2_backup_dagster.demo.seed.library_plan import random_uuid
from lc2_backup_dagster.demo.seed.people import invent_person
from lc2_backup_dagster.demo.seed.php_values import serialize
from lc2_backup_dagster.demo.seed.prose import Prose
from lc2_backup_dagster.demo.seed.rows import TableRows

FIRST_SECOND = 1_609_459_200
LAST_SECOND = 1_767_225_600
"""Content was made between the beginnings of 2021 and 2026."""

FILE_COLUMNS = "fid uuid langcode uid filename uri filemime filesize status created changed"

NODE_TABLES = {
    "node": "nid vid type uuid langcode",
    "node_revision": "nid vid langcode revision_uid revision_timestamp revision_log revision_default",
    "node_field_data": "nid vid type langcode status uid title created changed promote sticky default_langcode "
    "revision_translation_affected",
    "node__body": "bundle deleted entity_id revision_id langcode delta body_value body_summary body_format",
    "node__field_image": "bundle deleted entity_id revision_id langcode delta field_image_target_id field_image_alt "
    "field_image_width field_image_height",
    "node__field_attachments": "bundle deleted entity_id revision_id langcode delta field_attachments_target_id "
    "field_attachments_display field_attachments_description",
    "node__field_tags": "bundle deleted entity_id revision_id langcode delta field_tags_target_id",
    "taxonomy_index": "nid tid status sticky created",
    "path_alias": "uuid langcode path alias status",
    "file_usage": "fid module type id count",
}
"""Mapping of each table that tells of a node → its columns, without those that the database counts."""


@dataclass(slots=True)
class NodeRows:
    """Everything that the tables say of one node, by table."""

    nid: int
    rows: dict[str, list[tuple[object, ...]]] = field(default_factory=dict[str, list[tuple[object, ...]]])

    def add(self, table: str, *values: object) -> None:
        """Take a row for one of ``NODE_TABLES``."""
        self.rows.setdefault(table, []).append(values)


def people_rows(scale: DrupalScale, random: Random) -> Iterator[TableRows]:
    """Yield accounts: the anonymous one, the first administrator, others."""
    uids = range(scale.users + 1)
    people = [invent_person(random, uid) for uid in uids]
    yield TableRows("users", "uid uuid langcode", [(uid, random_uuid(random), "en") for uid in uids])
    yield TableRows(
        "users_field_data",
        "uid langcode preferred_langcode name pass mail timezone status created changed access login init "
        "default_langcode",
        [(0, "en", "en", "", None, None, "", 0, FIRST_SECOND, FIRST_SECOND, 0, 0, "", 1)]
        + [
            (uid, "en", random.choice(("en", "de")), who.screen_name, f"$2y$10${random.randbytes(26).hex()}")
            + (who.email_address, "Europe/Berlin", 1, *sorted(moment(random) for _ in range(4)), who.email_address, 1)
            for uid, who in zip(uids[1:], people[1:], strict=True)
        ],
    )
    yield TableRows(
        "user__roles",
        "bundle deleted entity_id revision_id langcode delta roles_target_id",
        [("user", 0, uid, uid, "en", 0, ROLES[uid == 1]) for uid in uids if 1 <= uid <= 12],
    )
    yield TableRows(
        "users_data",
        "uid module name value serialized",
        [(uid, "contact", "enabled", b"1", 0) for uid in uids[1:]]
        + [(1, "update", "seen", serialize({"core": "10.3.6", "modules": ["token"]}), 1)],
    )


def taxonomy_rows(scale: DrupalScale, random: Random) -> Iterator[TableRows]:
    """Yield the terms of the vocabularies, ids from 1."""
    prose, names = Prose(random), list(VOCABULARIES)
    tids = range(1, scale.terms + 1)
    yield TableRows(
        "taxonomy_term_data",
        "tid revision_id vid uuid langcode",
        [(tid, tid, names[tid % 2], random_uuid(random), "en") for tid in tids],
    )
    yield TableRows(
        "taxonomy_term_field_data",
        "tid revision_id vid langcode status name weight changed default_langcode",
        [(tid, tid, names[tid % 2], "en", 1, f"{prose.title(2)} {tid}", 0, moment(random), 1) for tid in tids],
    )


def file_row(file: ManagedFile, random: Random, *, uid: int, changed: int | None = None) -> tuple[object, ...]:
    """Return a row of ``file_managed``, in the order of ``FILE_COLUMNS``."""
    created = moment(random) if changed is None else changed
    told = (file.filename, file.uri, file.content_type, file.size_bytes, int(file.permanent))
    return (file.fid, random_uuid(random), "en", uid, *told, created, created if changed is None else changed)


def node_rows(
    nid: int, vid: int, random: Random, prose: Prose, *, scale: DrupalScale, files: Sequence[ManagedFile], created: int
) -> NodeRows:
    """Return a new node in its first revision; the first image becomes its picture, other files are attached."""
    made, bundle = NodeRows(nid), random.choice(list(NODE_TYPES))
    uid = random.randrange(1, scale.users + 1)
    made.add("node", nid, vid, bundle, random_uuid(random), "en")
    made.add("node_revision", nid, vid, "en", uid, created, "", 1)
    for langcode in ("en", "de") if random.random() < 0.2 else ("en",):
        title = f"{prose.title(random.randrange(3, 7))} {nid}"
        promote, original = int(random.random() < 0.2), int(langcode == "en")
        made.add(
            "node_field_data", nid, vid, bundle, langcode, 1, uid, title, created, created, promote, 0, original, 1
        )
        text = prose.html(random.randrange(60, 400))
        made.add("node__body", bundle, 0, nid, vid, langcode, 0, text, prose.text(12), "basic_html")
        alias = f"/{bundle.replace('_', '-')}/{prose.slug(4)}-{nid}"
        made.add("path_alias", random_uuid(random), langcode, f"/node/{nid}", alias, 1)
    image = next((file for file in files if file.is_image), None)
    attached = [file for file in files if file is not image]
    if image is not None:
        made.add("node__field_image", bundle, 0, nid, vid, "en", 0, image.fid, prose.text(5), 1600, 900)
    for delta, file in enumerate(attached):
        made.add("node__field_attachments", bundle, 0, nid, vid, "en", delta, file.fid, 1, prose.text(4))
    for delta, tid in enumerate(sorted(random.sample(range(1, scale.terms + 1), random.randrange(0, 4)))):
        made.add("node__field_tags", bundle, 0, nid, vid, "en", delta, tid)
        made.add("taxonomy_index", nid, tid, 1, 0, created)
    for file in files:
        made.add("file_usage", file.fid, "file", "node", str(nid), 1)
    return made


def moment(random: Random) -> int:
    """Return a second at which content was made."""
    return random.randrange(FIRST_SECOND, LAST_SECOND)
