"""The demo's Bloomreach: a CMS with many small media, whose content model and content lie behind HTTP APIs."""

import json
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from random import Random

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.demo.seed.bloomreach_changes import BloomreachEditor
from lc2_backup_dagster.demo.seed.bloomreach_content import write_news
from lc2_backup_dagster.demo.seed.bloomreach_database import BloomreachScale, seed_bloomreach_database
from lc2_backup_dagster.demo.seed.bloomreach_media import plan_media
from lc2_backup_dagster.demo.seed.objects import seed_objects
from lc2_backup_dagster.demo.seed.scale import LiferayScale
from lc2_backup_dagster.demo.servers.bloomreach import BloomreachServer
from lc2_backup_dagster.demo.sites.site import Connection, DemoSite, Surroundings
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.site import SiteId

_API_PORT = 8390
_EDIT_SECONDS = 3.0


def _seed(owner: Server, store: ObjectStore, scale: LiferayScale) -> Iterator[str]:
    wanted = BloomreachScale(scale.seed, media=scale.documents, nodes=scale.documents)
    seeded = seed_bloomreach_database(owner, wanted)
    yield (
        f"database {owner.database}: {seeded.tables} tables, {seeded.size_bytes / 1e6:.0f} MB"
        + ("" if seeded.created else " (from an earlier call)")
    )
    planned = (medium.stored for medium in plan_media(wanted.seed, wanted.media))
    media = seed_objects(store, planned, marker=json.dumps(asdict(wanted), sort_keys=True).encode())
    yield (
        f"media: {media.objects} objects, {media.plain_bytes / 1e6:.0f} MB"
        if media.objects
        else "media (from an earlier call)"
    )


def _day(connection: Connection, store: ObjectStore, random: Random) -> str:
    editor = BloomreachEditor(connection, store, random)
    for _ in range(5):
        editor.add_medium()
        editor.replace_medium()
        editor.delete_medium()
    editor.edit_nodes(20)
    return "5 media added, 5 replaced, 5 deleted, 20 nodes edited"


def _moment(connection: Connection, store: ObjectStore, random: Random) -> str:
    editor = BloomreachEditor(connection, store, random)
    match random.choice(("add", "replace", "delete", "edit")):
        case "add":
            return f"add {editor.add_medium()}"
        case "replace":
            return f"replace by {editor.replace_medium()}"
        case "delete":
            return f"delete {editor.delete_medium()}"
        case _:
            editor.edit_nodes(3)
            return "edit nodes"


@contextmanager
def _beside(around: Surroundings) -> Generator[Mapping[str, str]]:
    state = around.state
    with BloomreachServer(token=state.api_token, port=_API_PORT, page_size=50) as server, ExitStack() as stack:
        # It keeps nothing on disk; editors did this much by now.
        for day in range(state.rounds):
            server.state.edit(day)
        if around.alive:
            ended = threading.Event()
            editor = threading.Thread(target=_edit_until, args=(ended, server), daemon=True)
            editor.start()
            stack.callback(editor.join)
            stack.callback(ended.set)
        yield {"LC2_DEMO_BLOOMREACH_URL": server.url, "LC2_DEMO_BLOOMREACH_TOKEN": state.api_token}


def _edit_until(ended: threading.Event, server: BloomreachServer) -> None:
    number = 0
    while not ended.wait(_EDIT_SECONDS):
        with server.state.changing() as content:
            write_news(content, number)
        number += 1


BLOOMREACH = DemoSite(
    site=SiteId("retail", "bloomreach"),
    database="brxm",
    owner="bloomreach",
    bucket="bloomreach-media-dev",
    restored_bucket="bloomreach-media-restored-dev",
    versioned=True,
    server="postgres-bloomreach",
    variables="LC2_DEMO_BLOOMREACH_PG",
    seed=_seed,
    day=_day,
    moment=_moment,
    beside=_beside,
    restless=("*/news/*",),
)
