"""The real Apache Kafka that rehearses a company's: what tests of the source rely on, shown with aiokafka alone."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
    for_code,
)

from tests.kafka.acls import allow
from tests.kafka.admin import (
    add_partitions,
    admin_of,
    consumer_of,
    create_topic,
    end_offsets,
    group_offsets,
    log_starts,
    move_log_start,
    produce,
    read_all,
)
from tests.kafka.conftest import Certificates
from wikimirror.rehearsal.broker import KafkaBroker, KafkaBrokerError
from wikimirror.rehearsal.broker_properties import BrokerOptions

MakeBroker = Callable[..., Awaitable[KafkaBroker]]
MakeTopic = Callable[..., Awaitable[str]]
DEADLINE = 20.0
PASSWORD = "it's a = \\ secret; ü"


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not holds():
            await asyncio.sleep(0.01)


def values_of(records: list[Any]) -> list[bytes]:
    return [record.value for record in records]


@pytest.fixture(scope="module")
def guarded(
    own_kafka: None,  # noqa: ARG001  # asked for its skipping
    certificates: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[KafkaBroker]:
    """A broker that asks who comes, in every way it can, and lets nobody do what no rule allows."""
    options = BrokerOptions(
        users={"alice": PASSWORD, "admin": "all-may"},
        tls=certificates.broker,
        client_certificates=True,
        oauth=True,
        authorizer=True,
    )
    broker = KafkaBroker(tmp_path_factory.mktemp("guarded"), options)
    asyncio.run(broker.start())
    asyncio.run(create_topic(broker.bootstrap, "pages", 2))
    yield broker
    asyncio.run(broker.kill())


@pytest.fixture
def trusting(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates.authority))


class Token(AbstractTokenProvider):
    """An unsigned JWT, as the broker's rehearsal of OAUTHBEARER takes it."""

    def __init__(self, subject: str, *, seconds: float = 60.0) -> None:
        self._claims = {"sub": subject, "iat": time.time(), "exp": time.time() + seconds}

    async def token(self) -> str:
        parts = ({"alg": "none"}, self._claims)
        return (
            ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."
        )


async def test_what_a_killed_broker_acknowledged_is_there_after_its_restart_and_a_frozen_one_goes_on(
    make_broker: MakeBroker,
) -> None:
    broker = await make_broker()
    address, killed = broker.bootstrap, broker.pid
    await create_topic(address, "pages")
    await produce(address, "pages", [(0, b"key", b"first", 1_700_000_000_123)])
    await broker.kill()
    assert not broker.running
    with pytest.raises(KafkaConnectionError):
        await end_offsets(address, "pages")
    await broker.start()
    assert (broker.bootstrap, broker.pid != killed) == (address, True)
    (record,) = await read_all(address, "pages")
    assert (record.key, record.value, record.timestamp, record.offset) == (b"key", b"first", 1_700_000_000_123, 0)
    broker.freeze()
    with pytest.raises((KafkaError, TimeoutError)):
        await end_offsets(address, "pages", request_timeout_ms=300)
    broker.wake()
    assert await end_offsets(address, "pages") == {0: 1}
    await broker.stop()
    assert not broker.running


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"])
async def test_a_user_comes_in_over_tls_with_the_right_password_only(
    guarded: KafkaBroker, trusting: ssl.SSLContext, mechanism: str, caplog: pytest.LogCaptureFixture
) -> None:
    def as_alice(password: str) -> dict[str, Any]:
        return {
            "security_protocol": "SASL_SSL",
            "ssl_context": trusting,
            "sasl_mechanism": mechanism,
            "sasl_plain_username": "alice",
            "sasl_plain_password": password,
        }

    async with admin_of(guarded.address("sasl_ssl"), **as_alice(PASSWORD)) as admin:
        assert (await admin.describe_cluster())["brokers"]
    with pytest.raises(KafkaConnectionError):
        async with admin_of(guarded.address("sasl_ssl"), **as_alice("wrong")):
            pass
    assert "Authentication failed" in caplog.text


async def test_the_listener_ssl_takes_a_client_with_a_certificate_and_no_other(
    guarded: KafkaBroker, trusting: ssl.SSLContext, certificates: Certificates
) -> None:
    where = guarded.address("ssl")
    with pytest.raises(KafkaConnectionError):
        async with admin_of(where, security_protocol="SSL", ssl_context=trusting):
            pass
    trusting.load_cert_chain(certificates.client_certificate, certificates.client_key)
    async with admin_of(where, security_protocol="SSL", ssl_context=trusting) as admin:
        assert (await admin.describe_cluster())["brokers"]
    with pytest.raises(KafkaConnectionError):
        async with admin_of(where, security_protocol="SSL", ssl_context=ssl.create_default_context()):
            pass


async def test_a_token_lets_its_subject_in_until_it_expires(guarded: KafkaBroker) -> None:
    def with_token(seconds: float) -> dict[str, Any]:
        return {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "OAUTHBEARER",
            "sasl_oauth_token_provider": Token("alice", seconds=seconds),
        }

    async with admin_of(guarded.address("sasl_plaintext"), **with_token(60)) as admin:
        assert (await admin.describe_cluster())["brokers"]
    # aiokafka does not read the broker's refusal of a token: it starts, and then knows no broker.
    async with admin_of(guarded.address("sasl_plaintext"), **with_token(-60)) as admin:
        with pytest.raises(NodeNotReadyError):
            await admin.describe_cluster()


async def test_a_user_reads_what_a_rule_allows_and_the_admin_needs_none(guarded: KafkaBroker) -> None:
    def as_user(name: str, password: str) -> dict[str, Any]:
        return {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": name,
            "sasl_plain_password": password,
        }

    where = guarded.address("sasl_plaintext")
    await produce(where, "pages", [(0, None, b"text", 1)], **as_user("admin", "all-may"))
    # Asked so: a consumer would ask for the topic again and again, and say nothing to its caller.
    async with admin_of(where, **as_user("alice", PASSWORD)) as admin:
        (said,) = await admin.describe_topics(["pages"])
        assert for_code(said["error_code"]) is TopicAuthorizationFailedError
        await allow(guarded.bootstrap, "User:alice", "topic", "pag*", "read", "describe")
        async with asyncio.timeout(DEADLINE):
            while (await admin.describe_topics(["pages"]))[0]["error_code"]:
                await asyncio.sleep(0.02)
    assert values_of(await read_all(where, "pages", **as_user("alice", PASSWORD))) == [b"text"]
    with pytest.raises(TopicAuthorizationFailedError):
        await produce(where, "pages", [(0, None, b"more", 2)], **as_user("alice", PASSWORD))


async def test_two_members_share_the_partitions_and_the_one_that_stays_has_them_all(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    topic = await make_topic(partitions=8)
    async with consumer_of(kafka, topic, group_id=group, heartbeat_interval_ms=200) as first:
        await until(lambda: len(first.assignment()) == 8)
        async with consumer_of(kafka, topic, group_id=group, heartbeat_interval_ms=200) as second:
            await until(lambda: len(first.assignment()) == len(second.assignment()) == 4)
            assert not first.assignment() & second.assignment()
            held = min(second.assignment())
            await second.commit({held: 0})
            assert await group_offsets(kafka, group, topic) == {held.partition: 0}
        await until(lambda: len(first.assignment()) == 8)


async def test_reading_before_a_moved_log_start_or_beyond_the_end_is_answered_with_out_of_range(
    kafka: str, make_topic: MakeTopic
) -> None:
    topic = await make_topic()
    where = TopicPartition(topic, 0)
    await produce(kafka, topic, [(0, None, b"%d" % number, number) for number in range(10)])
    async with consumer_of(kafka) as consumer:
        consumer.assign([where])
        consumer.seek(where, 2)
        assert (await consumer.getone()).offset == 2
        await move_log_start(kafka, topic, 0, 6)
        assert await log_starts(kafka, topic) == {0: 6}
        for lost in (2, 11):
            consumer.seek(where, lost)
            with pytest.raises(OffsetOutOfRangeError):
                await consumer.getone()
        consumer.seek(where, 6)
        assert (await consumer.getone()).value == b"6"


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_records_of_every_codec_come_back_as_they_were(
    kafka: str, make_topic: MakeTopic, codec: str | None
) -> None:
    topic = await make_topic()
    now = int(time.time() * 1000)
    sent = [(0, b"%d" % number, b"a page's text. " * number or None, now + number) for number in range(100)]
    await produce(kafka, topic, sent, compression_type=codec, linger_ms=50)
    found = await read_all(kafka, topic)
    assert [(0, record.key, record.value, record.timestamp) for record in found] == sent


async def test_partitions_are_added_to_a_topic_that_is_there(kafka: str, make_topic: MakeTopic) -> None:
    topic = await make_topic(partitions=2)
    await add_partitions(kafka, topic, 5)
    await produce(kafka, topic, [(4, None, b"new", 1)])
    assert await end_offsets(kafka, topic) == {0: 0, 1: 0, 2: 0, 3: 0, 4: 1}


async def test_clients_of_the_proxied_listener_stay_behind_the_proxy(make_broker: MakeBroker) -> None:
    broker = await make_broker(proxied=True)
    passed: list[int] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection("127.0.0.1", broker.behind_port)
        passed.append(broker.behind_port)
        await asyncio.gather(copied(reader, behind[1]), copied(behind[0], writer))

    await create_topic(broker.bootstrap, "pages")
    with pytest.raises(KafkaConnectionError):
        await end_offsets(broker.address("proxied"), "pages")
    proxy = await asyncio.start_server(forward, "127.0.0.1", broker.proxied_port)
    await produce(broker.address("proxied"), "pages", [(0, None, b"over", 1)])
    proxy.close()
    assert len(passed) > 1, "the client asked one connection for the brokers and made another to the one that was told"
    assert await end_offsets(broker.bootstrap, "pages") == {0: 1}


async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
    writer.close()


async def test_a_broker_that_does_not_start_says_why_in_its_own_words(make_broker: MakeBroker) -> None:
    with pytest.raises(KafkaBrokerError, match=r"cannot be formatted(?s:.*)num\.partitions") as failed:
        await make_broker(properties={"num.partitions": "none"})
    assert "broker.log" in failed.value.remedy
