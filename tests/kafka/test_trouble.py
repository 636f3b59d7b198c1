"""A broker that refuses, makes topics unasked, stands still or is gone: one of the tests' own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError

from tests.kafka.acls import allow
from tests.kafka.admin import create_topic
from tests.kafka.stays import DEADLINE, joined, lane, reading, send, settings_of, source_of, until
from tests.kafka.test_driver import Told, consuming
from wikimirror.errors import SourceRefused, SourceUnavailable
from wikimirror.model import Position
from wikimirror.rehearsal.broker import KafkaBroker
from wikimirror.rehearsal.broker_properties import BrokerOptions
from wikimirror.settings import KafkaSettings
from wikimirror.sources.kafka import driver
from wikimirror.sources.kafka.consumer import start_consumer


@pytest.fixture(scope="module")
def broker(
    own_kafka: None,  # noqa: ARG001  # asked for its skipping
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[KafkaBroker]:
    """It asks who comes, and makes whatever topic somebody asks for, as Kafka does unless told otherwise."""
    options = BrokerOptions(
        users={"alice": "secret"}, authorizer=True, properties={"auto.create.topics.enable": "true"}
    )
    made = KafkaBroker(tmp_path_factory.mktemp("trouble"), options)
    asyncio.run(made.start())
    asyncio.run(_prepare(made.bootstrap))
    yield made
    asyncio.run(made.kill())


async def _prepare(bootstrap: str) -> None:
    await create_topic(bootstrap, "pages")
    await allow(bootstrap, "User:alice", "topic", "pages", "read", "describe")


@pytest.fixture
def alice(broker: KafkaBroker, group: str) -> KafkaSettings:
    """Who may read the topic, and as no group."""
    keys = {"security_protocol": "sasl_plaintext", "sasl_mechanism": "SCRAM-SHA-256", "username": "alice"}
    return settings_of(broker.address("sasl_plaintext"), group, "pages", password="secret", **keys)


async def test_nobody_makes_a_topic_by_asking_for_it(broker: KafkaBroker, group: str) -> None:
    settings = settings_of(broker.bootstrap, group, "pages", "mistaken")
    async with consuming(settings, group=True) as consumer:
        consumer.subscribe(settings.topics, listener=(told := Told(consumer)))
        await until(lambda: told.assigned)
        assert await driver.catalogue(consumer, settings.topics) == {"pages": {0}}
        await consumer._client.force_metadata_update()
        assert set(await driver.catalogue(consumer, None)) == {"pages"}


async def test_what_is_wrong_with_the_membership_is_seen_and_not_taken_away(alice: KafkaSettings) -> None:
    async with consuming(alice, group=True) as consumer:
        assert driver.trouble(consumer) is None
        consumer.subscribe(["pages"])
        await until(lambda: driver.trouble(consumer))
        assert isinstance(driver.trouble(consumer), GroupAuthorizationFailedError)
        with pytest.raises(GroupAuthorizationFailedError):
            await consumer.getmany(timeout_ms=10)


async def test_a_user_who_may_not_read_as_the_group_is_told_so(alice: KafkaSettings) -> None:
    async with source_of(alice)[0].join() as member:
        with pytest.raises(SourceRefused, match=f"may not read as the group {alice.group}") as refused:
            async with asyncio.timeout(DEADLINE):
                await member.assigned()
    assert "ACL" in refused.value.remedy


async def test_a_membership_that_fails_while_lanes_are_read_ends_the_stay_and_does_not_linger(
    broker: KafkaBroker, group: str
) -> None:
    settings = settings_of(broker.bootstrap, group, "pages")
    async with joined(settings, lanes=1) as (source, member, vitals):
        async with reading(source, {lane("pages"): Position(0)}) as found:
            await until(lambda: vitals.connected)
            coordinator: Any = member.consumer._coordinator
            # As its heartbeats do when the right is taken away.
            pushing = asyncio.ensure_future(coordinator._push_error_to_user(GroupAuthorizationFailedError(group)))
            assert found.task is not None
            with pytest.raises(SourceRefused, match="may not read as the group"):
                async with asyncio.timeout(DEADLINE):
                    await found.task
        assert member.listener.current is not None
        assert member.listener.current.revoked.is_set()
        with pytest.raises(SourceRefused, match="may not read as the group"):
            await member.assigned()
        pushing.cancel()
    # And where nobody polls, as while Postgres is away.
    async with joined(settings, lanes=1) as (_, member, _v):
        coordinator = member.consumer._coordinator
        pushing = asyncio.ensure_future(coordinator._push_error_to_user(GroupAuthorizationFailedError(group)))
        async with asyncio.timeout(DEADLINE):
            assert member.listener.current is not None
            await member.listener.current.revoked.wait()
        pushing.cancel()


async def test_stopping_is_bounded_in_time_even_while_the_broker_stands_still(broker: KafkaBroker, group: str) -> None:
    long = dict.fromkeys(("session_timeout", "rebalance_timeout", "idle_timeout"), "40s")
    settings = settings_of(broker.bootstrap, group, "pages", request_timeout="30s", **long)
    before = asyncio.all_tasks()
    consumer = await start_consumer(settings, group=True)
    consumer.subscribe(["pages"], listener=(told := Told(consumer)))
    await until(lambda: told.assigned)
    broker.freeze()
    try:
        began = time.monotonic()
        assert not await driver.stop(consumer, 0.5)
        assert time.monotonic() - began < 3
        assert asyncio.all_tasks() == before, "nothing is left running"
    finally:
        broker.wake()
    assert await driver.stop(await start_consumer(settings, group=True), 5.0)


async def test_a_broker_that_stands_still_ends_the_stay_and_reading_goes_on_once_it_wakes(
    broker: KafkaBroker, group: str
) -> None:
    await send(broker.bootstrap, "pages", b"0")
    settings = settings_of(broker.bootstrap, group, "pages", idle_timeout="2s")
    try:
        async with joined(settings, lanes=1) as (source, member, vitals):
            async with reading(source, {lane("pages"): Position(0)}) as found:
                await found.until(1)
                assert vitals.connected
                broker.freeze()
                began = time.monotonic()
                assert found.task is not None
                with pytest.raises(SourceUnavailable):
                    async with asyncio.timeout(DEADLINE):
                        await found.task
                assert 1 < time.monotonic() - began < 12
                assert not vitals.connected
            with pytest.raises(SourceUnavailable):
                await member.assigned()
            began = time.monotonic()
        assert time.monotonic() - began < 25, "leaving is bounded"
    finally:
        broker.wake()
    await send(broker.bootstrap, "pages", b"1")
    async with joined(settings, lanes=1) as (source, _, _v), reading(source, {lane("pages"): Position(1)}) as found:
        await found.until(1)
        assert found.values("pages") == [b"1"]


async def test_asking_where_no_broker_is_any_more_raises(broker: KafkaBroker, group: str) -> None:
    async with consuming(settings_of(broker.bootstrap, group, "pages")) as consumer:
        await broker.kill()
        with pytest.raises(KafkaError):
            await driver.catalogue(consumer, None)
