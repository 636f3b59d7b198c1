"""`wikimirror run` whom the brokers do not let in: what it says as it ends, and what it does if that comes later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import trustme

from tests.kafka.acls import allow, take_away
from tests.kafka.conftest import Certificates
from tests.kafka.endings import QUICK, ends_equal, was_under_load
from tests.kafka.world import KafkaWorld, serve_kafka
from tests.live.daemon import Daemon
from tests.live.probes import until_answers, until_metrics
from tests.live.world import SOURCE, a_day
from wikimirror.rehearsal.broker import KafkaBroker
from wikimirror.rehearsal.broker_properties import BrokerOptions

SEED, ACTIONS = 35, 800
RATE = 60.0
"""Records a second."""
ATTEMPTS: Final = 5
"""To be made before the right is given back."""
USER, PASSWORD = "mirror", "hunter2"
PRINCIPAL: Final = f"User:{USER}"


@pytest.fixture(scope="module")
def broker(
    own_kafka: None,  # noqa: ARG001  # asked for its skipping
    tmp_path_factory: pytest.TempPathFactory,
    certificates: Certificates,
) -> Iterator[KafkaBroker]:
    options = BrokerOptions(users={USER: PASSWORD}, tls=certificates.broker, authorizer=True)
    made = KafkaBroker(tmp_path_factory.mktemp("broker"), options)
    try:
        asyncio.run(made.start())
        yield made
    finally:
        asyncio.run(made.kill())


@pytest.fixture
async def world(broker: KafkaBroker, database_url: str, tmp_path: Path) -> AsyncIterator[KafkaWorld]:
    """Its topics may be read by the user, though not by its group yet."""
    async with serve_kafka(a_day(SEED, ACTIONS), broker.bootstrap, database_url, tmp_path, partitions=1) as served:
        for topic in served.topics.names:
            await allow(broker.bootstrap, PRINCIPAL, "topic", topic, "read")
        yield served


def as_user(broker: KafkaBroker, listener: str = "sasl_plaintext", **keys: Any) -> dict[str, Any]:
    """Keys of the source."""
    who = {"sasl_mechanism": "SCRAM-SHA-256", "username": USER, "password": PASSWORD}
    where = {"bootstrap_servers": [broker.address(listener)], "security_protocol": listener}
    return {**QUICK, **where, **who, **keys}


async def refusal_of(world: KafkaWorld, source: Mapping[str, Any]) -> dict[str, Any]:
    """What `run` says as it ends at once, with nothing secret in it."""
    async with Daemon(world.config(source=source)) as daemon:
        assert await daemon.end() == 1
        assert b"hunter" not in daemon.stdout + daemon.stderr
        error: dict[str, Any] = daemon.report["error"]
    assert error["kind"] == "SourceRefused"
    return error


async def test_a_wrong_password_ends_it_with_what_to_do(broker: KafkaBroker, world: KafkaWorld) -> None:
    error = await refusal_of(world, as_user(broker, password="hunter3"))
    assert "the brokers do not accept who we say we are" in error["message"]
    assert "password" in error["remedy"]


async def test_an_authority_that_is_not_known_ends_it_with_what_to_do(
    broker: KafkaBroker, world: KafkaWorld, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    error = await refusal_of(world, as_user(broker, "sasl_ssl", ca_file=str(other)))
    assert "certificate is not trusted" in error["message"]
    assert "ca_file" in error["remedy"]


async def test_a_group_that_it_may_not_join_ends_it_with_what_to_do(broker: KafkaBroker, world: KafkaWorld) -> None:
    error = await refusal_of(world, as_user(broker))
    assert error["message"] == f"the user may not read as the group {world.group}"
    assert "docs/kafka.md" in error["remedy"]


async def test_a_topic_that_it_may_not_read_ends_it_with_what_to_do(broker: KafkaBroker, world: KafkaWorld) -> None:
    await allow(broker.bootstrap, PRINCIPAL, "group", world.group, "read")
    forbidden = world.topics.names[1]
    await take_away(broker.bootstrap, PRINCIPAL, "topic", forbidden)
    error = await refusal_of(world, as_user(broker))
    assert error["message"] == f"the user may not read the topic {forbidden}"
    assert "docs/kafka.md" in error["remedy"]


@pytest.mark.parametrize("resource", ["group", "topic"])
async def test_a_right_that_is_taken_away_later_is_waited_for_and_reading_goes_on_when_it_is_given_back(
    resource: str, broker: KafkaBroker, world: KafkaWorld
) -> None:
    name = world.group if resource == "group" else world.topics.names[0]
    await allow(broker.bootstrap, PRINCIPAL, "group", world.group, "read")
    async with Daemon(world.config(source=as_user(broker))) as daemon:
        await daemon.line("reading")
        world.publish(RATE)
        await until_metrics(daemon, lambda now: now.of("wikimirror_records_read_total", SOURCE) > RATE)
        await take_away(broker.bootstrap, PRINCIPAL, resource, name)
        line = await daemon.line("waiting", waiting_for="source", level="warning")
        as_whom = "as " if resource == "group" else ""
        assert line["reason"].endswith(f"the user may not read {as_whom}the {resource} {name}")
        assert "docs/kafka.md" in line["remedy"]
        await until_answers(daemon, "/readyz", 503, "may not read")
        await until_metrics(daemon, lambda now: now.of("wikimirror_retries_total", SOURCE) >= ATTEMPTS)
        await until_answers(daemon, "/livez", 200)
        # Of a topic only: the others are read meanwhile, so that there is an end to the waiting each time.
        assert resource == "topic" or not daemon.lines("waiting is over")
        await allow(broker.bootstrap, PRINCIPAL, resource, name, "read")
        await until_answers(daemon, "/readyz", 200)
        was_under_load(world)
        await ends_equal(world, daemon)
        assert b"hunter" not in daemon.stdout + daemon.stderr
