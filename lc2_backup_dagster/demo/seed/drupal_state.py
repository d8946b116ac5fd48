"""Rows of a seeded Drupal that no person wrote: caches, sessions, the log, routes and what modules remember."""
# ruff: noqa: RUF005  rows are added up from groups of columns: as one tuple each value would take a line

from collections.abc import Iterator
from random import Random

from lc2_backup_dagster.demo.seed.drupal_content import LAST_SECOND, moment
from lc2_backup_dagster.demo.seed.drupal_scale import DrupalScale
from lc2_backup_dagster.demo.seed.php_values import PhpValue, serialize
from lc2_backup_dagster.demo.seed.prose import Prose
from lc2_backup_dagster.demo.seed.rows import TableRows, random_address

CACHE_BINS = (
    "bootstrap",
    "config",
    "container",
    "data",
    "default",
    "discovery",
    "dynamic_page_cache",
    "entity",
    "menu",
    "page",
    "render",
)


def state_rows(scale: DrupalScale, random: Random, *, modules: list[str]) -> Iterator[TableRows]:
    """Yield everything that Drupal keeps for itself."""
    prose = Prose(random)
    for bin_name in CACHE_BINS:
        yield TableRows(
            f"cache_{bin_name}",
            "cid data expire created serialized tags checksum",
            [
                (f"{bin_name}:{number}:{random.randbytes(8).hex()}", _cached(random, prose), -1, moment(random), 1)
                + (f"node:{random.randrange(1, scale.nodes)} node_list rendered", str(random.randrange(40)))
                for number in range(scale.cached)
            ],
        )
    tags = ["config:core.extension", "node_list", "rendered", *(f"node:{nid}" for nid in range(1, scale.nodes + 1))]
    yield TableRows("cachetags", "tag invalidations", [(tag, random.randrange(1, 90)) for tag in tags])
    yield TableRows(
        "sessions",
        "uid sid hostname timestamp session",
        [
            (random.randrange(scale.users + 1), random.randbytes(32).hex(), random_address(random), LAST_SECOND)
            + (b"_sf2_attributes|" + serialize({"uid": str(random.randrange(1, 40))}),)
            for _ in range(scale.sessions)
        ],
    )
    yield TableRows(
        "watchdog",
        "uid type message variables severity link location hostname timestamp",
        [
            (random.randrange(scale.users + 1), random.choice(("page not found", "cron", "content", "php")))
            + ("@type: updated %title.", serialize({"@type": "article", "%title": prose.title(4)}), 5, "")
            + ("https://library.example/node/1", random_address(random), moment(random))
            for _ in range(scale.logged)
        ],
    )
    yield TableRows("key_value", "collection name value", _remembered(random, modules))
    yield TableRows(
        "key_value_expire",
        "collection name value expire",
        [
            (
                "update_available_releases",
                "drupal",
                serialize({"title": "Drupal core", "last_fetch": LAST_SECOND}),
                2**31 - 1,
            )
        ],
    )
    yield TableRows(
        "router",
        "name path pattern_outline fit route number_parts",
        [
            (f"entity.node.{name}", f"/node/{{node}}/{name}", f"/node/%/{name}", 5)
            + (b'O:31:"Symfony\\Component\\Routing\\Route":0:{}', 3)
            for name in ("edit_form", "delete_form", "version_history", "preview")
        ],
    )
    yield TableRows("sequences", "value", [(1,)])
    queued = [("search_api_solr", serialize({"nid": nid}), 0, LAST_SECOND) for nid in range(1, 20)]
    yield TableRows("queue", "name data expire created", queued)


def _remembered(random: Random, modules: list[str]) -> list[tuple[object, ...]]:
    state: dict[str, PhpValue] = {
        "system.cron_last": LAST_SECOND,
        "system.cron_key": random.randbytes(40).hex(),
        "system.private_key": random.randbytes(40).hex(),
        "install_time": LAST_SECOND - 10**8,
        "system.css_js_query_string": "sdk1x9",
        "drupal_css_cache_files": {random.randbytes(8).hex(): "public://css/css_a.css"},
    }
    rows: list[tuple[object, ...]] = [("state", name, serialize(value)) for name, value in state.items()]
    rows += [("system.schema", module, serialize(8000 + random.randrange(2_400))) for module in modules]
    rows.append(("post_update", "existing_updates", serialize([f"{m}_post_update_initial" for m in modules])))
    return rows


def _cached(random: Random, prose: Prose) -> bytes:
    return serialize(
        {"#markup": prose.html(random.randrange(20, 120)), "#cache": {"contexts": ["theme"], "max-age": -1}}
    )
