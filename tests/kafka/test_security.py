"""How the source shows a real broker who it is, checks who the broker is, and tells what is wrong with either."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.kafka.acls import allow
from tests.kafka.admin import create_topic, produce
from tests.kafka.conftest import Certificates
from tests.kafka.oauth import token_server, unsigned_token
from wikimirror.errors import ConfigurationError, Reaction, SourceRefused, SourceUnavailable, WikimirrorError
from wikimirror.rehearsal.broker import KafkaBroker
from wikimirror.rehearsal.broker_properties import ADMIN, BrokerOptions
from wikimirror.settings import KafkaSettings
from wikimirror.sources.kafka.consumer import start_consumer
from wikimirror.sources.kafka.faults import translate
from wikimirror.sources.kafka.reaching import require_reachable
from wikimirror.sources.kafka.security import client_options

PASSWORD = "hunter2/=ä"
STRANGER, STRANGERS_PASSWORD = "stran-ger", "hunter3"
TOPIC, GROUP = "pages", "wikimirror"
DEADLINE = 30.0
PASSWORDS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@pytest.fixture(scope="module")
def broker(
    own_kafka: None,  # noqa: ARG001  # asked for its skipping
    tmp_path_factory: pytest.TempPathFactory,
    certificates: Certificates,
) -> Iterator[KafkaBroker]:
    """It has every listener, `ssl` for clients with a certificate; and a topic with one record. Whoever is known may
    read it, though as no group; another topic may be looked at, not read."""
    made = KafkaBroker(
        tmp_path_factory.mktemp("broker"),
        BrokerOptions(
            users={ADMIN: PASSWORD, STRANGER: STRANGERS_PASSWORD},
            oauth=True,
            tls=certificates.broker,
            client_certificates=True,
            authorizer=True,
        ),
    )

    async def begin() -> None:
        await made.start()
        await create_topic(made.bootstrap, TOPIC)
        await create_topic(made.bootstrap, "private")
        await produce(made.bootstrap, TOPIC, [(0, b"key", b"value", 1)])
        await allow(made.bootstrap, "User:*", "topic", TOPIC, "read")
        await allow(made.bootstrap, f"User:{STRANGER}", "topic", "private", "describe")

    try:
        asyncio.run(begin())
        yield made
    finally:
        asyncio.run(made.kill())


def settings_for(broker: KafkaBroker, protocol: str, **said: Any) -> KafkaSettings:
    servers = [broker.address(protocol)]
    waits = {"request_timeout": "5s", "session_timeout": "6s"}
    return KafkaSettings(
        **{"type": "kafka", "bootstrap_servers": servers, "topics": [TOPIC], "security_protocol": protocol}
        | waits
        | said
    )


@asynccontextmanager
async def consumer_for(settings: KafkaSettings, *, group: bool = False) -> AsyncIterator[AIOKafkaConsumer]:
    async with asyncio.timeout(DEADLINE):
        consumer = await start_consumer(settings, group=group)
        try:
            yield consumer
        finally:
            await consumer.stop()


async def refusal_of(consumer: AIOKafkaConsumer) -> WikimirrorError:
    """What is told of the error that reading ends with."""
    try:
        while True:
            await consumer.getmany(timeout_ms=500)
    except KafkaError as error:
        found = translate(error)
    assert isinstance(found, SourceRefused)
    return found


async def reads(settings: KafkaSettings) -> list[bytes | None]:
    """The values in the topic, read as the settings say."""
    async with consumer_for(settings) as consumer:
        where = TopicPartition(TOPIC, 0)
        consumer.assign([where])
        consumer.seek(where, 0)
        return [record.value for record in (await consumer.getmany(timeout_ms=10_000))[where]]


async def fault_of(settings: KafkaSettings) -> WikimirrorError:
    """What is told of settings that are not right, soon and without a secret."""
    with pytest.raises(WikimirrorError) as raised:
        async with asyncio.timeout(DEADLINE):
            await require_reachable(settings, client_options(settings))
    told = f"{raised.value} {raised.value.remedy}"
    assert settings.bootstrap_servers[0] in told
    assert "hunter" not in told
    assert raised.value.remedy
    return raised.value


@pytest.mark.parametrize("protocol", ["sasl_plaintext", "sasl_ssl"])
@pytest.mark.parametrize("mechanism", PASSWORDS)
async def test_a_password_is_shown(
    mechanism: str, protocol: str, broker: KafkaBroker, certificates: Certificates
) -> None:
    tls = {"ca_file": certificates.authority} if protocol == "sasl_ssl" else {}
    who = {"sasl_mechanism": mechanism, "username": ADMIN, "password": PASSWORD}
    assert await reads(settings_for(broker, protocol, **who, **tls)) == [b"value"]


async def test_a_password_file_is_read_anew_for_each_client(broker: KafkaBroker, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("wrong\n")
    who = {"sasl_mechanism": "SCRAM-SHA-512", "username": ADMIN, "password_file": password}
    settings = settings_for(broker, "sasl_plaintext", **who)
    assert isinstance(await fault_of(settings), SourceRefused)
    password.write_text(f"{PASSWORD}\r\nand a second line\n", encoding="utf-8")
    assert await reads(settings) == [b"value"]


@pytest.mark.parametrize("mechanism", PASSWORDS)
@pytest.mark.parametrize(("username", "password"), [(ADMIN, "hunter4"), ("nobody", PASSWORD)])
async def test_a_wrong_name_or_password_is_told_as_refused(
    mechanism: str, username: str, password: str, broker: KafkaBroker
) -> None:
    who = {"sasl_mechanism": mechanism, "username": username, "password": password}
    found = await fault_of(settings_for(broker, "sasl_plaintext", **who))
    assert isinstance(found, SourceRefused)
    assert "the brokers do not accept who we say we are" in str(found)


async def test_a_mechanism_that_the_broker_does_not_offer_is_told(
    make_broker: Callable[..., Awaitable[KafkaBroker]],
) -> None:
    bare = await make_broker(oauth=True)
    who = {"sasl_mechanism": "SCRAM-SHA-512", "username": ADMIN, "password": PASSWORD}
    found = await fault_of(settings_for(bare, "sasl_plaintext", **who))
    assert isinstance(found, SourceRefused)
    assert "do not offer this sasl_mechanism" in str(found)


async def test_a_token_is_shown_that_a_file_holds(broker: KafkaBroker, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(unsigned_token(ADMIN) + "\n")
    settings = settings_for(broker, "sasl_plaintext", sasl_mechanism="OAUTHBEARER", token_file=token)
    assert await reads(settings) == [b"value"]


async def test_a_token_is_shown_that_a_server_gives_for_our_credentials(
    broker: KafkaBroker, certificates: Certificates
) -> None:
    async with token_server("wiki:mirror", PASSWORD) as server:
        server.subject = ADMIN
        who = {"token_url": server.url, "token_client_id": "wiki:mirror", "token_client_secret": PASSWORD}
        settings = settings_for(
            broker, "sasl_ssl", sasl_mechanism="OAUTHBEARER", ca_file=certificates.authority, token_scope="kafka", **who
        )
        assert await reads(settings) == [b"value"]
        assert {each["scope"] for each in server.asked} == {"kafka"}
        assert len(server.asked) == 1, "once, whatever connections there are"


async def test_a_token_that_the_broker_does_not_accept_is_told_as_refused(broker: KafkaBroker, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(unsigned_token(ADMIN, seconds=-60))
    found = await fault_of(settings_for(broker, "sasl_plaintext", sasl_mechanism="OAUTHBEARER", token_file=token))
    assert isinstance(found, SourceRefused)
    assert "does not accept the token that it was shown" in str(found)


async def test_a_consumer_outlives_a_token_that_is_not_to_be_had(broker: KafkaBroker, tmp_path: Path) -> None:
    """Whatever a provider of tokens raises goes through aiokafka's task for metadata, which must live on."""
    token = tmp_path / "token"
    token.write_text(unsigned_token(ADMIN))
    settings = settings_for(broker, "sasl_plaintext", sasl_mechanism="OAUTHBEARER", token_file=token)
    async with consumer_for(settings) as consumer:
        token.unlink()
        for connection in list(consumer._client._conns.values()):
            connection.close()
        assert await consumer._client.force_metadata_update() is False
        found = await fault_of(settings)
        assert found.reaction is Reaction.RETRY
        assert "token_file" in str(found)
        token.write_text(unsigned_token(ADMIN))
        assert await consumer._client.force_metadata_update() is True


async def test_the_brokers_certificate_and_ours_are_checked(broker: KafkaBroker, certificates: Certificates) -> None:
    files = {"certificate_file": certificates.client_certificate, "key_file": certificates.client_key}
    assert await reads(settings_for(broker, "ssl", ca_file=certificates.authority, **files)) == [b"value"]


@pytest.mark.parametrize("known", ["others", "system"])
async def test_a_broker_whose_authority_is_not_known_is_told(known: str, broker: KafkaBroker, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    found = await fault_of(settings_for(broker, "ssl", **({"ca_file": other} if known == "others" else {})))
    assert isinstance(found, SourceRefused)
    assert "the broker's certificate is not trusted" in str(found)
    assert "ca_file" in found.remedy


async def test_a_broker_whose_certificate_is_for_another_name_is_told(
    broker: KafkaBroker, certificates: Certificates
) -> None:
    port = broker.address("ssl").rpartition(":")[2]
    settings = settings_for(broker, "ssl", ca_file=certificates.authority, bootstrap_servers=[f"127.0.0.2:{port}"])
    with socket.socket() as relay:
        # The broker listens on 127.0.0.1 alone: what listens here speaks for it.
        relay.bind(("127.0.0.2", int(port)))
        async with _relay(relay, int(port)):
            found = await fault_of(settings)
    assert isinstance(found, SourceRefused)
    assert "for another name than the one it is reached by" in str(found)


@asynccontextmanager
async def _relay(listening: socket.socket, port: int) -> AsyncIterator[None]:
    """What comes to a socket goes to a port of 127.0.0.1, and the answers back."""
    joined: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while some := await reader.read(2**16):
                writer.write(some)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, onwards = await asyncio.open_connection("127.0.0.1", port)
        joined.update({asyncio.create_task(copy(reader, onwards)), asyncio.create_task(copy(behind, writer))})

    async with await asyncio.start_server(join, sock=listening):
        yield
    await asyncio.wait(joined, timeout=DEADLINE)


@pytest.mark.parametrize("shown", ["none", "untrusted"])
async def test_a_broker_that_wants_a_certificate_and_gets_none_it_trusts_is_told(
    shown: str, broker: KafkaBroker, certificates: Certificates, tmp_path: Path
) -> None:
    files: dict[str, Path] = {}
    if shown == "untrusted":
        issued = trustme.CA().issue_cert("member", common_name="member")
        files = {"certificate_file": tmp_path / "cert.pem", "key_file": tmp_path / "key.pem"}
        issued.private_key_pem.write_to_path(files["key_file"])
        issued.cert_chain_pems[0].write_to_path(files["certificate_file"])
    found = await fault_of(settings_for(broker, "ssl", ca_file=certificates.authority, **files))
    assert isinstance(found, SourceRefused)
    assert "does not take our certificate, or wants one" in str(found)


@pytest.mark.parametrize(
    ("said", "spoken"), [("ssl", "plaintext"), ("plaintext", "ssl"), ("plaintext", "sasl_plaintext")]
)
async def test_a_broker_that_speaks_another_protocol_is_told(said: str, spoken: str, broker: KafkaBroker) -> None:
    settings = settings_for(broker, said, bootstrap_servers=[broker.address(spoken)], request_timeout="2s")
    assert "security_protocol" in (await fault_of(settings)).remedy


async def test_of_several_brokers_one_that_answers_is_enough(broker: KafkaBroker) -> None:
    settings = settings_for(broker, "plaintext", bootstrap_servers=["127.0.0.1:1", broker.bootstrap])
    await require_reachable(settings, client_options(settings))


async def test_of_several_failures_a_refusal_is_told(broker: KafkaBroker) -> None:
    who = {"sasl_mechanism": "PLAIN", "username": ADMIN, "password": "wrong"}
    servers = ["127.0.0.1:1", broker.address("sasl_plaintext")]
    settings = settings_for(broker, "sasl_plaintext", bootstrap_servers=servers, **who)
    with pytest.raises(SourceRefused, match=servers[1]):
        await require_reachable(settings, client_options(settings))


@pytest.mark.parametrize(
    ("server", "what"), [("127.0.0.1:1", "refused"), ("kafka.invalid:9092", "name cannot be resolved")]
)
async def test_a_broker_that_cannot_be_reached_is_waited_for(server: str, what: str) -> None:
    settings = KafkaSettings(type="kafka", bootstrap_servers=[server], topics=[TOPIC])
    found = await fault_of(settings)
    assert isinstance(found, SourceUnavailable)
    assert what in str(found)


async def test_a_broker_that_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        settings = KafkaSettings(type="kafka", bootstrap_servers=[server], topics=[TOPIC], request_timeout="200ms")
        found = await fault_of(settings)
    assert isinstance(found, SourceUnavailable)
    assert "did not answer in time" in str(found)


async def test_a_topic_that_the_user_may_not_read_is_told_by_its_name(broker: KafkaBroker) -> None:
    async with consumer_for(stranger(broker)) as consumer:
        where = TopicPartition("private", 0)
        consumer.assign([where])
        consumer.seek(where, 0)
        found = await refusal_of(consumer)
    assert str(found) == "the user may not read the topic private"


async def test_a_group_that_the_user_may_not_join_is_told_by_its_name(broker: KafkaBroker) -> None:
    async with consumer_for(stranger(broker), group=True) as consumer:
        consumer.subscribe([TOPIC])
        found = await refusal_of(consumer)
    assert str(found) == f"the user may not read as the group {GROUP}"


def stranger(broker: KafkaBroker) -> KafkaSettings:
    who = {"sasl_mechanism": "SCRAM-SHA-256", "username": STRANGER, "password": STRANGERS_PASSWORD}
    return settings_for(broker, "sasl_plaintext", **who)


def unused(**said: Any) -> KafkaSettings:
    """Settings whose files are looked at, and no broker is asked."""
    return KafkaSettings(
        **{"type": "kafka", "bootstrap_servers": ["a:1"], "topics": [TOPIC], "security_protocol": "ssl"} | said
    )


def unusable(settings: KafkaSettings) -> str:
    with pytest.raises(ConfigurationError) as raised:
        client_options(settings)
    assert raised.value.remedy
    assert "hunter" not in f"{raised.value} {raised.value.remedy}"
    return str(raised.value)


def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for content in ("", "hunter2", "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n"):
        path = tmp_path / "ca.pem"
        path.write_text(content)
        assert unusable(unused(ca_file=path)).startswith(f"no authority can be read from ca_file {path}: ")


def test_a_key_that_does_not_fit_its_certificate_is_told(certificates: Certificates) -> None:
    files = {"certificate_file": certificates.client_certificate, "key_file": certificates.broker.key}
    assert unusable(unused(**files)).endswith("cannot be used: key values mismatch")


def test_a_key_that_is_encrypted_is_opened_with_its_password_and_nobody_is_asked_for_one(
    certificates: Certificates, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    encrypt(certificates.client_key, key, "hunter2")
    files = {"certificate_file": certificates.client_certificate, "key_file": key}
    assert "ssl_context" in client_options(unused(**files, key_password="hunter2"))
    for wrong in ({}, {"key_password": "hunter3"}):
        assert "cannot be used" in unusable(unused(**files, **wrong))


def encrypt(plain: Path, encrypted: Path, password: str) -> None:
    key = load_pem_private_key(plain.read_bytes(), password=None)
    with_password = BestAvailableEncryption(password.encode())
    encrypted.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, with_password))


@pytest.mark.parametrize("content", [b"", b"\nhunter2", b"\xff\xfe"])
def test_a_password_file_without_a_password_in_its_first_line_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    who = {"sasl_mechanism": "PLAIN", "username": "me", "password_file": path}
    assert str(path) in unusable(unused(security_protocol="sasl_ssl", **who))


def test_a_password_file_that_has_gone_is_named(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.touch()
    settings = unused(security_protocol="sasl_ssl", sasl_mechanism="PLAIN", username="me", password_file=path)
    path.unlink()
    assert unusable(settings) == f"the file {path} cannot be read: No such file or directory"
