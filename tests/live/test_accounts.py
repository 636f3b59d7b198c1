"""The accounting law holds at every scrape, whatever happens meanwhile (promise P4)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from tests.live.daemon import Daemon, Scrape
from tests.live.truth import accounts_add_up, durable, must_equal
from tests.live.world import SOURCE, World, a_day, serve
from wikimirror.mirror.checkpoints import take_over_all
from wikimirror.mirror.connect import connect
from wikimirror.model import Lane, Position
from wikimirror.rehearsal import NO_FAULTS, Cut, Faults

SEED, ACTIONS = 51, 3000
RATE = 1000.0
SCRAPES = 50
CUT_EVERY = 0.4
"""Seconds, by which a day of records has several connections."""
FAULTS = Faults(cut=Cut.MID_RECORD, cut_seconds=CUT_EVERY, duplicate_every=40)
UNREADABLE = b'{"$schema":"/mediawiki/page/change/1.3.0","page":'
OUTCOMES = {
    "ignored": "wikimirror_records_ignored_total",
    "applied": "wikimirror_changes_applied_total",
    "refused": "wikimirror_changes_refused_total",
    "set aside": "wikimirror_records_set_aside_total",
    "given back": "wikimirror_records_given_back_total",
    "in flight": "wikimirror_records_in_flight",
}


class Account(NamedTuple):
    """One scrape's."""

    read: int
    told: dict[str, int]

    @classmethod
    def of(cls, scrape: Scrape) -> Account:
        told = {name: int(scrape.of(series, SOURCE)) for name, series in OUTCOMES.items()}
        return cls(int(scrape.of("wikimirror_records_read_total", SOURCE)), told)


async def test_what_was_read_is_accounted_for_at_every_scrape_under_load_with_cuts_and_lost_lanes(
    database_url: str, tmp_path: Path
) -> None:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world:
        world.server.faults = FAULTS
        async with Daemon(world.config(apply={"batch_records": 200})) as daemon:
            await daemon.line("reading")
            world.publish(RATE)
            await daemon.line("durable")
            scraping = asyncio.create_task(_scrape(daemon))
            while not world.publication.done:
                world.log.append("codfw.mediawiki.page_change.v1", UNREADABLE)
                await daemon.line("first write")
                await _take_lanes(world)
                await daemon.line("another process has taken over; this one stands by")
                await daemon.line("durable")
            await durable(database_url, world.log.ends)
            world.server.faults = NO_FAULTS
            while (last := Account.of(await daemon.metrics())).told["in flight"]:
                await daemon.line("durable")
            scraping.cancel()
            accounts = await scraping
            assert await daemon.stop() == 0
        assert [each for each in accounts if each.read != sum(each.told.values())] == []
        assert len(accounts) >= SCRAPES
        reads = [each.read for each in accounts]
        assert reads == sorted(reads)
        assert len(set(reads)) >= SCRAPES // 2, "it was not scraped under load"
        assert any(each.told["in flight"] for each in accounts)
        never = [name for name, count in last.told.items() if not count]
        assert never == ["in flight"]
        assert daemon.lines("connection lost")
        accounts_add_up(daemon.report)
        await must_equal(database_url, world.day, world.log, set_aside=True)


async def _scrape(daemon: Daemon) -> list[Account]:
    """One scrape after the other until it is cancelled."""
    accounts = []
    try:
        while True:
            accounts.append(Account.of(await daemon.metrics()))
    except asyncio.CancelledError:
        return accounts


async def _take_lanes(world: World) -> None:
    """Become the lanes' writer, and do nothing: who worked before finds out and gives back what it had read."""
    lanes = {Lane(SOURCE, topic, 0): Position(0) for topics in world.log.topics_of.values() for topic in topics}
    async with await connect(world.database_url) as session:
        await take_over_all(session, lanes, "test")
