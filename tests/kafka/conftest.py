"""Topics and groups of a test's own on the run's Kafka, and brokers of its own."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.kafka.admin import create_topic, delete_topic
from wikimirror.rehearsal.broker import KafkaBroker
from wikimirror.rehearsal.broker_properties import BrokerOptions, Tls

_RUN = secrets.token_hex(3)
_numbers = itertools.count(1)


class Certificates(NamedTuple):
    """PEM files: the broker's, and what its clients need."""

    broker: Tls
    authority: Path
    """Trusts the broker, and signed the client's certificate."""
    client_certificate: Path
    client_key: Path


@pytest.fixture
async def make_broker(
    own_kafka: None,  # noqa: ARG001  # asked for its skipping
    tmp_path: Path,
) -> AsyncIterator[Callable[..., Awaitable[KafkaBroker]]]:
    """`await make_broker(**options)` gives a started broker of the test's own, which it may kill. See BrokerOptions."""
    made: list[KafkaBroker] = []

    async def make(**options: Any) -> KafkaBroker:
        broker = KafkaBroker(tmp_path / f"kafka-{len(made)}", BrokerOptions(**options))
        made.append(broker)
        return await broker.start()

    yield make
    for broker in made:
        await broker.kill()


@pytest.fixture(scope="session")
def _frail(
    own_kafka: None,  # noqa: ARG001  # asked for its skipping
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[KafkaBroker]:
    broker = KafkaBroker(tmp_path_factory.mktemp("frail"), BrokerOptions(proxied=True))
    yield broker
    asyncio.run(broker.kill())


@pytest.fixture
async def frail_broker(_frail: KafkaBroker) -> KafkaBroker:
    """A running broker that tests may kill, freeze and restart, one after the other. It has a listener `proxied`."""
    if _frail.running:
        _frail.wake()
    return await _frail.start()


@pytest.fixture
async def make_topic(kafka: str) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """`await make_topic(partitions=8)` gives the name of a fresh topic on the run's Kafka, deleted after the test.
    `name`: how it begins; `config`: the topic's own settings."""
    made: list[str] = []

    async def make(partitions: int = 1, *, name: str = "topic", config: dict[str, str] | None = None) -> str:
        topic = f"{name}-{_RUN}-{next(_numbers)}"
        await create_topic(kafka, topic, partitions, config=config)
        made.append(topic)
        return topic

    yield make
    for topic in made:
        await delete_topic(kafka, topic)


@pytest.fixture
def group() -> str:
    """The name of a group that nobody was in."""
    return f"group-{_RUN}-{next(_numbers)}"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, the broker's certificate for 127.0.0.1, and a client's, named CN=member."""
    directory = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "authority.pem")
    for name, issued in (
        ("broker", authority.issue_cert("127.0.0.1", "localhost")),
        ("client", authority.issue_cert("member", common_name="member")),
    ):
        for position, pem in enumerate(issued.cert_chain_pems):
            pem.write_to_path(directory / f"{name}.pem", append=position > 0)
        key = load_pem_private_key(issued.private_key_pem.bytes(), password=None)
        pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (directory / f"{name}-key.pem").write_bytes(pkcs8)
    return Certificates(
        broker=Tls(directory / "broker.pem", directory / "broker-key.pem", directory / "authority.pem"),
        authority=directory / "authority.pem",
        client_certificate=directory / "client.pem",
        client_key=directory / "client-key.pem",
    )
