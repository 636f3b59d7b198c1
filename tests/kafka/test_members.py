"""Members of a group share the partitions, come and go, and nothing is lost or done twice (promises P1, P4, P5, P7)."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.kafka.members import Group, Member, serve_group
from tests.live.killing import last_steps
from tests.live.probes import until_answers
from tests.live.program import wikimirror
from tests.live.world import SOURCE, a_day
from wikimirror.observe.vitals import Role

SEED, ACTIONS = 51, 3000
RATE = 150.0
"""Records a second, so that the day lasts longer than the coming and going on a slow machine too."""
DEADLINE = 60.0
REBALANCES = "wikimirror_rebalances_total"


async def test_a_third_member_joins_and_one_leaves_under_load_and_each_change_is_applied_once(
    kafka: str, database_url: str, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    async with serve_group(a_day(SEED, ACTIONS), kafka, database_url, tmp_path) as group:
        one, other = await group.join("one"), await group.join("other")
        await group.shared(one, other)
        group.world.publish(RATE)
        for each in (one, other):
            await each.line("durable")

        third = await group.join("third")
        await group.shared(one, other, third)
        gave = min(each.lines("giving the lanes back")[-1]["heard"] for each in (one, other))
        tell(f"a third member joins: lanes pause {await _work_again(one, other, third) - gave:.1f} s")
        await _told_by_status(group, one, other, third)
        assert not group.world.publication.done, "it is not tried under load"

        await third.line("first write")
        assert await third.stop() == 0
        stopped = third.log[-1]["heard"]
        offsets = await group.offsets()
        steps = last_steps(third)
        assert steps.after == steps.before
        assert {place for place, position in steps.before.items() if offsets[place] < position} == set()
        assert not group.world.publication.done, "it is not tried under load"
        await group.shared(one, other)
        tell(f"a member leaves: lanes pause {await _work_again(one, other) - stopped:.1f} s after its end")

        await group.finish(one, other, before=[third])
        given_back = [each.report["sources"][0]["records"]["given_back"] for each in (one, other, third)]
        assert given_back == [0, 0, 0], "it was not drained"


async def _work_again(*members: Member) -> float:
    """Wait until each of them has made something durable in its latest assignment; when the last of them had."""
    heard = []
    for each in members:
        since = each.lines("reading")[-1]["heard"]
        while (line := await each.line("durable"))["heard"] <= since:
            pass
        heard.append(float(line["heard"]))
    return max(heard)


async def _told_by_status(group: Group, *members: Member) -> None:
    """Each member tells of itself every few seconds."""
    config = str(group.world.config())
    wanted = {str(each.pid): (Role.ACTIVE.value, len(each.lanes or ())) for each in members}
    async with asyncio.timeout(DEADLINE):
        while True:
            _, told = await wikimirror("status", "--config", config)
            found = {_pid(each["holder"]): (each["role"], each["lanes"]) for each in told["members"]}
            if found == wanted:
                break
    writers = {(lane["topic"], lane["partition"]): _pid(lane["writer"]) for lane in told["lanes"]}
    assert writers == {lane: str(each.pid) for each in members for lane in each.lanes or ()}
    assert not any(each["gone"] for each in told["members"])
    assert {each["source"] for each in told["members"]} == {SOURCE}


def _pid(holder: str) -> str:
    return holder.split("/")[1]


async def test_a_member_without_partitions_is_ready_and_takes_over_when_the_other_leaves(
    kafka: str, database_url: str, tmp_path: Path
) -> None:
    async with serve_group(a_day(SEED, ACTIONS), kafka, database_url, tmp_path, partitions=1) as group:
        topic = group.world.topics.names[0]
        lane = (topic, 0)
        one, other = await group.join("one", topics=[topic]), await group.join("other", topics=[topic])
        await group.shared(one, other, lanes=[lane])
        active, standby = (one, other) if one.lanes else (other, one)
        for member, role in ((active, Role.ACTIVE), (standby, Role.STANDBY)):
            await until_answers(member, "/readyz", 200)
            probe = await member.get("/readyz")
            assert (probe.status, probe.body["sources"][SOURCE]["role"]) == (200, role)
        group.world.publish()
        await active.line("durable")
        assert standby.lines("durable") == []

        assert await active.stop() == 0
        await group.shared(standby, lanes=[lane])
        await until_answers(standby, "/readyz", 200)
        assert (await standby.get("/readyz")).body["sources"][SOURCE]["role"] == Role.ACTIVE
        assert await standby.stop() == 0

        rest = await group.join("rest")
        await group.shared(rest)
        await group.finish(rest, before=[one, other])


async def test_a_static_member_that_is_restarted_within_its_session_gets_its_lanes_back_and_disturbs_nobody(
    kafka: str, database_url: str, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    async with serve_group(a_day(SEED, ACTIONS), kafka, database_url, tmp_path) as group:
        members = {name: await group.join(name, member_id=name) for name in ("one", "other")}
        await group.shared(*members.values())
        group.world.publish(RATE)
        ended = []
        # One of the two leads the group.
        for name, stays_on, sign in (("one", "other", signal.SIGTERM), ("other", "one", signal.SIGKILL)):
            gone, stays = members[name], members[stays_on]
            for each in (gone, stays):
                await each.line("durable")
            lanes, before = gone.lanes, await _disturbances(stays)

            gone.send(sign)
            assert await gone.end() == (0 if sign == signal.SIGTERM else -sign)
            last = gone.lines("durable")[-1]["heard"]
            again = members[name] = await group.join(name, member_id=name)
            await group.shared(again, stays)
            pause = await _work_again(again) - last
            tell(f"a static member restarted after {sign.name}: its lanes pause {pause:.1f} s")
            assert again.lanes == lanes
            await stays.line("durable")
            assert await _disturbances(stays) == before
            ended.append(gone)
        assert not group.world.publication.done, "it is not tried under load"
        await group.finish(*members.values(), before=ended[:1], exact=False)


async def _disturbances(member: Member) -> Counter[str]:
    """What a rebalance would change."""
    scrape: Any = await member.metrics()
    said = Counter(
        str(line["event"]) for line in member.log if line.get("event") in {"giving the lanes back", "reading"}
    )
    return said + Counter({REBALANCES: int(scrape.of(REBALANCES, SOURCE))})
