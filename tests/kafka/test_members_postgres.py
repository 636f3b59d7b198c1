"""Members of a group whose Postgres is away, or does not let them write: partitions are kept, or given up in time."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kafka.admin import admin_of
from tests.kafka.members import SESSION, SHORT_SESSION, Member, serve_group
from tests.live.cluster import Cluster, own_cluster
from tests.live.probes import until_answers
from tests.live.truth import nobody_writes
from tests.live.world import SOURCE, a_day
from wikimirror.mirror.migrate import upgrade

SEED, ACTIONS = 51, 3000
RATE = 150.0
OUTAGE = 1.5 * SESSION
REBALANCE = SESSION + 1.0
"""Seconds in which members must have given their partitions up."""
SLACK = 3.0
"""Seconds for what follows: joining again, connecting, taking over, on two cores that others share."""
QUICK = {"source": {**SHORT_SESSION, "rebalance_timeout": f"{REBALANCE:.0f}s"}, "retry": {"longest": "100ms"}}
LOOK = 0.05


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with own_cluster() as made:
        yield made


async def test_partitions_are_kept_while_postgres_is_away_and_a_rebalance_meanwhile_does_no_harm(
    kafka: str, cluster: Cluster, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    url = await cluster.database("members")
    await upgrade(url)
    async with serve_group(a_day(SEED, ACTIONS), kafka, url, tmp_path, settings=QUICK) as group:
        one, other = await group.join("one"), await group.join("other")
        await group.shared(one, other)
        group.world.publish(RATE)
        for each in (one, other):
            await each.line("durable")
        held = {each.name: each.lanes for each in (one, other)}

        await cluster.end(signal.SIGKILL)
        for each in (one, other):
            await until_answers(each, "/readyz", 503, "waits for database")
        await _still_waits(one, other)
        assert {each.name: each.lanes for each in (one, other)} == held
        assert await _members(kafka, group.world.group) == 2

        await other.kill()
        killed = time.monotonic()
        await one.line("partitions are not drained in time: aborting")
        await one.line("the lanes are lost: what was read is given back")
        await one.line("waiting", waiting_for="lease")
        tell(f"given up {time.monotonic() - killed:.1f} s after another's kill -9 while Postgres is away")
        assert (await one.get("/readyz")).status == 503
        assert (await one.get("/livez")).status == 200

        await cluster.start()
        await group.shared(one)
        await until_answers(one, "/readyz", 200)
        third = await group.join("third")
        await group.shared(one, third)
        await group.finish(one, third, exact=False)


async def _still_waits(*members: Member) -> None:
    """For longer than a session: ready they are not, and that is all."""
    until = time.monotonic() + OUTAGE
    while time.monotonic() < until:
        for each in members:
            assert (await each.get("/readyz")).status == 503
            assert (await each.get("/livez")).status == 200
        await asyncio.sleep(LOOK)


async def _members(bootstrap: str, group: str) -> int:
    """As the broker sees it, of a group that is not being rebalanced."""
    async with admin_of(bootstrap) as admin:
        (answer,) = await admin.describe_consumer_groups([group])
        ((_, _, state, _, _, members, *_),) = answer.groups
    assert state == "Stable"
    return len(members)


async def test_a_member_that_cannot_drain_in_time_aborts_and_the_one_that_joins_gets_its_share(
    kafka: str, database_url: str, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    async with serve_group(a_day(SEED, ACTIONS), kafka, database_url, tmp_path, settings=QUICK) as group:
        one = await group.join("one")
        await group.shared(one)
        group.world.publish(RATE)
        await one.line("durable")
        async with nobody_writes(database_url):
            one.skip("first write")
            await one.line("first write")
            other = await group.join("other")
            asked = (await one.line("giving the lanes back"))["heard"]
            await one.line("partitions are not drained in time: aborting")
            await one.line("the lanes are lost: what was read is given back")
            await group.shared(one, other)
            seconds = other.lines("reading")[-1]["heard"] - asked
            tell(f"who joins has its share {seconds:.1f} s after another was asked that cannot drain")
            assert seconds < REBALANCE + SLACK
            scrape = await one.metrics()
            assert scrape.of("wikimirror_records_given_back_total", SOURCE) > 0
            assert scrape.of("wikimirror_lane_losses_total", SOURCE) == 1
        assert not group.world.publication.done, "it is not tried under load"
        await group.finish(one, other)
