from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
import uvloop
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.observe.clock import THRESHOLDS, Clock
from wikimirror.errors import ConfigurationError
from wikimirror.model import Lane
from wikimirror.observe.health import State
from wikimirror.observe.metrics import Metric
from wikimirror.observe.telemetry import Telemetry
from wikimirror.observe.vitals import Role, Stage, Vitals, Waiting
from wikimirror.settings import Address
from wikimirror.web import AdminServer, admin

TOPIC = "eqiad.mediawiki.page_change.v1"
ANYWHERE = "127.0.0.1:0"
DEADLINE = 30.0
PROBES = ("/livez", "/readyz", "/startupz")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(THRESHOLDS)


@pytest.fixture
def vitals(clock: Clock, telemetry: Telemetry) -> Vitals:
    """Of a source that is current."""
    vitals = telemetry.add(clock.active())
    vitals.heard(Lane(vitals.source, TOPIC, 0), clock.published(ago=0.25))
    return vitals


class Started:
    def __init__(self) -> None:
        self.yes = True

    def __call__(self) -> bool:
        return self.yes


@pytest.fixture
def started() -> Started:
    return Started()


@pytest.fixture
async def server(telemetry: Telemetry, started: Started) -> AsyncIterator[AdminServer]:
    async with AdminServer(ANYWHERE, telemetry, started=started) as server:
        yield server


@pytest.fixture
async def client(server: AdminServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url, timeout=aiohttp.ClientTimeout(DEADLINE)) as client:
        yield client


async def get(client: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    async with client.get(path) as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert response.content_type == "application/json"
        return response.status, await response.json()


async def statuses(client: aiohttp.ClientSession) -> list[int]:
    return [(await get(client, path))[0] for path in PROBES]


async def test_the_probes_tell_of_each_source_what_it_does_and_why(
    client: aiohttp.ClientSession, vitals: Vitals
) -> None:
    for path in PROBES:
        status, body = await get(client, path)
        assert status == 200
        assert body == {
            "ok": True,
            "started": True,
            "sources": {
                vitals.source: {
                    "state": "current",
                    "role": "active",
                    "alive": True,
                    "ready": True,
                    "why": "is 0.2 s behind the source",
                    "seconds_behind": 0.25,
                    "silent_seconds": 0.0,
                }
            },
        }


async def test_livez_fails_when_a_stage_stalls_and_holds_again_when_it_gets_on(
    client: aiohttp.ClientSession, vitals: Vitals, clock: Clock
) -> None:
    vitals.busy(Stage.APPLY)
    clock.run(59)
    assert await statuses(client) == [200, 200, 200]
    clock.run(1)
    assert await statuses(client) == [503, 503, 200]
    _, body = await get(client, "/livez")
    assert body["sources"]["eventstreams"]["why"] == "has work in hand and does not get on with it: apply for 60 s"
    vitals.idle(Stage.APPLY)
    assert await statuses(client) == [200, 200, 200]


async def test_readyz_fails_while_postgres_or_the_source_is_away_and_livez_does_not(
    client: aiohttp.ClientSession, vitals: Vitals
) -> None:
    vitals.wait(Waiting.DATABASE, "connection refused")
    assert await statuses(client) == [200, 503, 200]
    vitals.resume(Waiting.DATABASE)
    vitals.left("ended")
    assert await statuses(client) == [200, 503, 200]
    vitals.joined()
    assert await statuses(client) == [200, 200, 200]


async def test_a_standby_is_ready_and_says_that_it_stands_by(client: aiohttp.ClientSession, vitals: Vitals) -> None:
    vitals.role = Role.STANDBY
    status, body = await get(client, "/readyz")
    told = body["sources"]["eventstreams"]
    assert (status, told["role"], told["state"], told["seconds_behind"]) == (200, "standby", "standby", None)


async def test_nothing_is_ready_or_started_before_the_process_has_started(
    client: aiohttp.ClientSession, vitals: Vitals, started: Started
) -> None:
    assert vitals.connected
    started.yes = False
    assert await statuses(client) == [200, 503, 503]


async def test_a_process_without_sources_is_alive_and_not_ready(client: aiohttp.ClientSession) -> None:
    assert await statuses(client) == [200, 503, 200]


async def test_one_source_of_several_decides_and_is_named(
    client: aiohttp.ClientSession, telemetry: Telemetry, vitals: Vitals, clock: Clock
) -> None:
    assert vitals.source == "eventstreams"
    telemetry.add(clock.vitals("other"))
    status, body = await get(client, "/readyz")
    assert status == 503
    assert {source: told["ready"] for source, told in body["sources"].items()} == {"eventstreams": True, "other": False}


@pytest.mark.parametrize("path", ["/", *PROBES])
async def test_head_answers_like_get_without_a_body(client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(path) as whole, client.head(path) as head:
        assert (head.status, head.headers["Content-Length"]) == (whole.status, whole.headers["Content-Length"])
        assert await head.read() == b""


async def test_what_is_not_there_lists_the_paths_and_each_is_there(
    client: aiohttp.ClientSession, vitals: Vitals
) -> None:
    assert vitals.connected
    status, body = await get(client, "/nowhere")
    assert status == 404
    assert set(body["paths"]) == {*PROBES, "/metrics", "/", "/status.json", "/details", "/details.json"}
    for path in body["paths"]:
        async with client.get(path) as response:
            assert response.status == (404 if path.startswith("/details") else 200)


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("POST", "/livez", 405), ("PUT", "/metrics", 405)]
)
async def test_what_is_not_there_is_told_in_plain_json(
    client: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    async with client.request(method, path) as response:
        assert (response.status, response.content_type) == (status, "application/json")
        assert (await response.json())["error"].startswith(str(status))
        assert ("Allow" in response.headers) is (status == 405)


async def test_metrics_are_prometheus_text_and_openmetrics_for_who_accepts_it(
    client: aiohttp.ClientSession, vitals: Vitals
) -> None:
    assert vitals.source == "eventstreams"
    async with client.get("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert response.headers["Cache-Control"] == "no-store"
        text = {family.name for family in parse_text(await response.text())}
    async with client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}) as response:
        assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        families = parse_openmetrics(await response.text())  # type: ignore[no-untyped-call]  # not ours
        openmetrics = {family.name for family in families}
    declared = {metric.series.removesuffix("_total") for metric in Metric}
    assert declared <= text
    assert declared <= openmetrics


async def test_metrics_and_probes_agree_on_the_state(
    client: aiohttp.ClientSession, vitals: Vitals, clock: Clock
) -> None:
    clock.run(300)
    assert vitals.connected
    _, body = await get(client, "/readyz")
    async with client.get("/metrics") as response:
        families = {family.name: family for family in parse_text(await response.text())}
    (told,) = [sample for sample in families[Metric.STATE.series].samples if sample.value == 1]
    assert told.labels["state"] == body["sources"]["eventstreams"]["state"] == State.SILENT


async def test_an_address_in_use_is_named_with_the_setting(server: AdminServer, telemetry: Telemetry) -> None:
    with pytest.raises(ConfigurationError) as caught:
        async with AdminServer(f"127.0.0.1:{server.port}", telemetry, started=bool):
            pass
    assert str(caught.value) == f"the admin port cannot listen on 127.0.0.1:{server.port}: it is in use"
    assert "admin.listen" in caught.value.remedy


def test_on_uvloop_it_serves_and_an_address_in_use_is_told_alike(telemetry: Telemetry) -> None:
    async def work() -> None:
        async with AdminServer(ANYWHERE, telemetry, started=bool) as server:
            async with aiohttp.ClientSession(server.url) as client:
                assert await statuses(client) == [200, 503, 503]
            with pytest.raises(ConfigurationError, match="in use"):
                await AdminServer(f"127.0.0.1:{server.port}", telemetry, started=bool).__aenter__()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())


@pytest.mark.parametrize("listen", ["192.0.2.1:0", "no-such-host.invalid:0", f"{'x' * 64}.invalid:0"])
async def test_an_address_that_is_not_this_machines_is_told(telemetry: Telemetry, listen: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        async with AdminServer(listen, telemetry, started=bool):
            pass
    assert f"cannot listen on {listen}" in str(caught.value)
    assert "admin.listen" in caught.value.remedy


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_it_listens_where_the_settings_say(
    telemetry: Telemetry, host: str, require_part: Callable[[str, bool, str], None]
) -> None:
    require_part("ipv6", host != "::1" or has_ipv6(), "an IPv6 address of its own, ::1")
    async with AdminServer(str(Address(host, 0)), telemetry, started=bool) as server:
        assert server.url == f"http://{Address(host, server.port)}"
        async with aiohttp.ClientSession(server.url) as client:
            assert await statuses(client) == [200, 503, 503]


async def test_who_never_finishes_a_request_loses_the_connection_and_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, telemetry: Telemetry
) -> None:
    monkeypatch.setattr(admin, "_IDLE", 0.3)
    async with AdminServer(ANYWHERE, telemetry, started=bool) as server:
        for begun in (b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(begun)
            async with aiohttp.ClientSession(server.url) as client:
                assert await statuses(client) == [200, 503, 503]
            async with asyncio.timeout(DEADLINE):
                assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()


@pytest.fixture
async def greedy(
    monkeypatch: pytest.MonkeyPatch, telemetry: Telemetry, clock: Clock
) -> AsyncIterator[tuple[socket.socket, AdminServer]]:
    """A client that asked for more than fits between it and the server, and reads nothing."""
    monkeypatch.setattr(admin, "_ANSWER", 0.5)
    for number in range(300):
        telemetry.add(clock.vitals(f"source-{number}"))
    with socket.socket() as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        asking.settimeout(0)
        async with AdminServer(ANYWHERE, telemetry, started=bool) as server:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(asking, ("127.0.0.1", server.port))
            await loop.sock_sendall(asking, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
            await until(lambda: bool(connections(server)))
            yield asking, server


def connections(server: AdminServer) -> list[Any]:
    runner = server._runner
    assert runner is not None
    assert runner.server is not None
    return runner.server.connections


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not holds():
            await asyncio.sleep(0.02)


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_who_does_not_read_the_answer_loses_the_connection_and_holds_nobody_up(
    greedy: tuple[socket.socket, AdminServer], caplog: pytest.LogCaptureFixture
) -> None:
    _, server = greedy
    async with aiohttp.ClientSession(server.url) as client:
        assert (await get(client, "/livez"))[0] == 200
    await until(lambda: not connections(server))
    assert not complaints(caplog)


async def test_who_goes_away_before_the_answer_is_no_error(
    greedy: tuple[socket.socket, AdminServer], caplog: pytest.LogCaptureFixture
) -> None:
    asking, server = greedy
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    asking.close()  # by a reset
    await until(lambda: not connections(server))
    assert not complaints(caplog)


async def test_a_body_that_nobody_wants_is_not_waited_for(server: AdminServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
    async with asyncio.timeout(DEADLINE):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 405 ")
    writer.close()
    await writer.wait_closed()


async def test_headers_have_limits(server: AdminServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")
    async with asyncio.timeout(DEADLINE):
        assert (await reader.readline()).split()[1] == b"400"
    writer.close()
    await writer.wait_closed()


async def test_leaving_closes_the_port_and_idle_connections(telemetry: Telemetry) -> None:
    tasks = asyncio.all_tasks()
    async with AdminServer(ANYWHERE, telemetry, started=bool) as server, asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    async with asyncio.timeout(DEADLINE):
        await reader.read()
    writer.close()
    await writer.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)
    assert asyncio.all_tasks() == tasks


async def test_requests_are_not_logged(
    client: aiohttp.ClientSession, vitals: Vitals, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert vitals.connected
    assert await statuses(client) == [200, 200, 200]
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


async def test_what_an_error_says_is_told_without_secrets(client: aiohttp.ClientSession, vitals: Vitals) -> None:
    vitals.wait(Waiting.SOURCE, "https://me:s3cret@proxy/ answers 407, password=s3cret")
    for path in PROBES:
        _, body = await get(client, path)
        assert "s3cret" not in json.dumps(body)
        assert "answers 407" in json.dumps(body)
