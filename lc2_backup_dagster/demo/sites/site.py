"""What the demo must know of a site to make it live: its places, its seed, and how people change it.

Values and functions only. Servers are the platform's matter, backing up and comparing that of the journey.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import psycopg

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.demo.seed.scale import LiferayScale
from lc2_backup_dagster.demo.state import DemoState
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.site import SiteId

Connection = psycopg.Connection[Any]
Say = Callable[[str], None]

Seed = Callable[[Server, ObjectStore, LiferayScale], Iterable[str]]
"""Fills an empty database and an empty bucket, does nothing where that was done; yields what there is, for people."""

Change = Callable[[Connection, ObjectStore, Random], str]
"""Changes rows and files as people do, and tells what. The connection is its owner's, outside a transaction.

Files are written before the rows that name them, and deleted after these. Where it runs inside a transaction it may
begin others (savepoints), never commit.
"""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a site runs in.

    Attributes:
        owner: its database, as its owner.
        home: the demo's home.
        state: the demo's state.
        alive: whether people change the site all the time.
    """

    owner: Server
    home: Path
    state: DemoState
    alive: bool


Beside = Callable[[Surroundings], AbstractContextManager[Mapping[str, str]]]
"""Runs what a site needs beside its database and its bucket; gives variables for its site file."""


@dataclass(frozen=True, slots=True)
class DemoSite:
    """One site.

    Attributes:
        site: its id.
        database: name of its database.
        owner: role that owns it.
        bucket: its files.
        restored_bucket: where its files are restored to.
        versioned: whether the bucket of its files keeps versions.
        server: folder of its PostgreSQL below the demo's home.
        variables: beginning of the variables that tell of that server, like ``LC2_DEMO_PG``.
        seed: fills database and bucket.
        day: lets people work for a day.
        moment: lets somebody do one thing.
        beside: what else it needs, or None.
        restless: globs of the documents of its configuration that people change all the time.
    """

    site: SiteId
    database: str
    owner: str
    bucket: str
    restored_bucket: str
    versioned: bool
    server: str
    variables: str
    seed: Seed
    day: Change
    moment: Change
    beside: Beside | None = None
    restless: tuple[str, ...] = ()
