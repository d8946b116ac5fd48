"""The process that lets the demo's sites live: ``python -m lc2_backup_dagster.demo.live retail/liferay …``.

One thread for each site. Ends with TERM once the changes under way are done; whatever goes wrong ends it with an error,
and whoever started it starts it again.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from random import Random
from types import FrameType

from lc2_backup_dagster.clouds.aws.client import S3Access, S3Connection
from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.demo.live.writer import write_until
from lc2_backup_dagster.demo.servers.live_writer import OWNER_PASSWORD
from lc2_backup_dagster.demo.sites.all_sites import ALL_SITES
from lc2_backup_dagster.demo.sites.site import DemoSite
from lc2_backup_dagster.engines.postgres.servers.server import Server

# Busy while backups are made and looked at; a demo that is left alone over night shall not fill the disk with WAL.
_BUSY_SECONDS = 900.0
_PAUSE_SECONDS, _LONG_PAUSE_SECONDS = 1.0, 20.0


def main(names: list[str], environment: Mapping[str, str]) -> None:
    """Let sites live until TERM.

    Raises:
        BackupError: a server is away.
    """
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    begun = time.monotonic()

    def pause() -> float:
        return _PAUSE_SECONDS if time.monotonic() - begun < _BUSY_SECONDS else _LONG_PAUSE_SECONDS

    access = S3Access(
        endpoint=environment["LC2_DEMO_S3_ENDPOINT"],
        access_key=environment["LC2_DEMO_S3_ACCESS_KEY_ID"],
        secret_key=environment["LC2_DEMO_S3_SECRET_ACCESS_KEY"],
    )
    sites = [each for each in ALL_SITES if str(each.site) in names]
    with closing(S3Connection(access)) as connection, ThreadPoolExecutor(len(sites)) as pool:
        lives = [
            pool.submit(
                write_until,
                stopping,
                _owner(site, environment),
                S3Store(connection, site.bucket),
                change=site.moment,
                random=Random(),  # another life each time
                pause=pause,
            )
            for site in sites
        ]
        wait(lives, return_when=FIRST_EXCEPTION)
        stopping.set()
    for life in lives:
        life.result()


def _owner(site: DemoSite, environment: Mapping[str, str]) -> Server:
    return Server(
        host=environment[f"{site.variables}_HOST"],
        port=int(environment[f"{site.variables}_PORT"]),
        user=site.owner,
        password=environment[OWNER_PASSWORD],
        database=site.database,
    )


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
