"""The state of each partition of a daemon on a real Kafka, which tells where its logs start and end (promise P7)."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.kafka.admin import move_log_start
from tests.kafka.world import KafkaWorld, serve_kafka
from tests.live.lane_watch import HEALTH, PROOF, hasten, until_a_lane, until_all, verdicts
from tests.live.truth import Place
from tests.live.within import following
from tests.live.world import a_day
from tests.statements import run
from wikimirror.mirror.connect import connect
from wikimirror.observe.lanes import LaneState

SEED, ACTIONS = 72, 1200
HOUR = 3600.0
SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END $$;
CREATE TRIGGER slow AFTER UPDATE ON wikimirror.checkpoint FOR EACH STATEMENT EXECUTE FUNCTION slow();
"""


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)
    monkeypatch.setattr("wikimirror.sources.kafka.upkeep._LOOK", 0.1)
    monkeypatch.setattr("wikimirror.sources.kafka.upkeep._LOOK_AT_STARTS", 0.2)


@pytest.fixture
async def world(kafka: str, database_url: str, tmp_path: Path) -> AsyncIterator[KafkaWorld]:
    async with serve_kafka(a_day(SEED, ACTIONS), kafka, database_url, tmp_path, partitions=1) as served:
        yield served


def config(world: KafkaWorld, **sections: Any) -> Path:
    return world.config(**{"health": HEALTH, "source": {"retention": "1h"}, **sections})


async def test_at_their_ends_lanes_are_current_with_the_whole_retention_and_all_that_the_log_holds_behind_them(
    world: KafkaWorld,
) -> None:
    world.publish()
    await world.published()
    async with following(config(world)) as daemon:
        await world.durable()
        ends = {place: end for place, end in world.ends.items() if end > 5}

        def told() -> dict[Place, tuple[LaneState, float | None, int | None, int | None]]:
            return {
                (lane.topic, lane.partition): (
                    each.state,
                    each.headroom_seconds,
                    each.headroom_records,
                    each.records_behind,
                )
                for lane, each in verdicts(daemon).items()
                if (lane.topic, lane.partition) in ends
            }

        await daemon.until(lambda: told() == {place: (LaneState.CURRENT, HOUR, end, 0) for place, end in ends.items()})
        ((topic, partition), end) = max(ends.items(), key=lambda item: item[1])
        await move_log_start(world.bootstrap, topic, partition, 5)
        await daemon.until(lambda: told()[topic, partition] == (LaneState.CURRENT, HOUR, end - 5, 0))


async def test_a_locked_table_stalls_the_lanes_that_have_records_and_those_at_their_ends_stay_current(
    world: KafkaWorld,
) -> None:
    async with following(config(world)) as daemon:
        await until_all(daemon, LaneState.CURRENT)
        async with await connect(world.database_url) as session, session.transaction():
            await session.execute("LOCK TABLE page IN EXCLUSIVE MODE")
            first = world.day.arrivals[0]
            await world.topics.send([first])
            lane, verdict = await until_a_lane(daemon, LaneState.STALLED)
            assert lane.topic == world.topics.name_of(first.topic)
            assert (verdict.records_behind, verdict.catch_up_seconds) == (1, math.inf)
            assert {told.state for each, told in verdicts(daemon).items() if each != lane} == {LaneState.CURRENT}
        await world.durable()
        await until_all(daemon, LaneState.CURRENT)


async def test_a_backlog_is_caught_up_and_the_rates_say_when(world: KafkaWorld) -> None:
    world.publish()
    await world.published()
    await run(world.database_url, SLOW)
    async with following(config(world, apply={"batch_records": 20})) as daemon:
        lane, verdict = await until_a_lane(
            daemon,
            LaneState.CATCHING_UP,
            lambda told: told.catch_up_seconds is not None and told.evidence.inflow_per_second == 0,
        )
        evidence = verdict.evidence
        assert verdict.records_behind is not None
        assert evidence.applied_per_second is not None
        assert verdict.catch_up_seconds is not None
        assert 0 < verdict.catch_up_seconds < 600
        assert evidence.window_seconds >= PROOF
        await run(world.database_url, "DROP TRIGGER slow ON wikimirror.checkpoint")
        await world.durable()
        await until_all(daemon, LaneState.CURRENT)
        assert lane in verdicts(daemon)


async def test_a_position_beyond_the_end_of_its_log_goes_back_and_is_told(world: KafkaWorld) -> None:
    world.publish()
    await world.published()
    async with following(config(world)) as daemon:
        await world.durable()
        await daemon.drained()
    ((topic, _), end) = max(world.ends.items(), key=lambda item: item[1])
    await run(world.database_url, f"UPDATE wikimirror.checkpoint SET position = 900000 WHERE topic = '{topic}'")
    async with following(config(world)) as daemon:
        lane, verdict = await until_a_lane(daemon, LaneState.REWOUND)
        assert lane.topic == topic
        assert verdict.position <= end
