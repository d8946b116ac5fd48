"""The demo's road: all sites are backed up, restored and compared, beside each other as far as the limits allow."""

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from random import Random

from lc2_backup_dagster.demo.platform import DemoPlatform, LiveSite
from lc2_backup_dagster.demo.report import JourneyReport, SiteReport
from lc2_backup_dagster.demo.road import RestoredPlaces, SiteRoad
from lc2_backup_dagster.demo.servers.dagster_client import DagsterClient
from lc2_backup_dagster.demo.sites.site import Say
from lc2_backup_dagster.demo.state import DemoState

_RESTORED = "restored"


def walk(platform: DemoPlatform, client: DagsterClient, state: DemoState, *, home: Path, say: Say) -> JourneyReport:
    """Walk the whole road once.

    Where nobody changes the sites all the time, later calls do so once, before their backups.

    Raises:
        PermanentError: a run failed; the message holds what Dagster says.
    """
    began = time.monotonic()
    if state.rounds and not platform.alive:
        for live in platform.live:
            _change(platform, live, state, say)
    _forget_old_restores(platform, state, home)
    roads = [SiteRoad(platform, live, client, _places(live, state, home), say) for live in platform.live]
    for road in roads:
        word = str(road.live.site.site)
        state.restored_databases[word] = [road.places.database]
        state.restored_prefixes[word] = [road.places.prefix]
    state.save(home)  # before anything is there: a demo that is killed now is cleaned up by the next one
    reports = _all([road.walk for road in roads])
    state.rounds += 1
    return JourneyReport(reports, time.monotonic() - began)


def _change(platform: DemoPlatform, live: LiveSite, state: DemoState, say: Say) -> None:
    with platform.owner(live).connect() as connection:
        told = live.site.day(connection, platform.store(live.site.bucket), Random(state.rounds))
    say(f"{live.site.site}: people worked: {told}")


def _places(live: LiveSite, state: DemoState, home: Path) -> RestoredPlaces:
    number = state.rounds + 1
    folder = home / _RESTORED / f"{live.site.site.application}-{number}"
    return RestoredPlaces(f"{live.site.database}_restored_{number}", f"restored-{number}/", folder)


def _forget_old_restores(platform: DemoPlatform, state: DemoState, home: Path) -> None:
    """Remove what earlier calls of the demo restored: its own places only, named in its own state."""
    shutil.rmtree(home / _RESTORED, ignore_errors=True)
    (home / _RESTORED).mkdir()
    for site, postgres in platform.live:
        for name in state.restored_databases.pop(str(site.site), ()):
            postgres.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        target = platform.store(site.restored_bucket)
        for prefix in state.restored_prefixes.pop(str(site.site), ()):
            target.delete(item.key for item in list(target.list(prefix)))


def _all(roads: Sequence[Callable[[], SiteReport]]) -> list[SiteReport]:
    """Walk all roads at once; the first error ends this, whatever the others are at."""
    pool = ThreadPoolExecutor(len(roads), thread_name_prefix="road")
    try:
        pending = [pool.submit(road) for road in roads]
        wait(pending, return_when=FIRST_EXCEPTION)
        return [each.result() for each in pending if each.done()]
    finally:
        # Whoever interrupts this stops Dagster next, which ends the threads that wait for it.
        pool.shutdown(wait=False, cancel_futures=True)
