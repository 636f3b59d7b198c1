"""Outgoing HTTP: who we say we are, whom we trust, which way we go, and what failures mean."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from tests.sources.sse_server import DEADLINE, Connection, Script, proxying, serving
from wikimirror.errors import ConfigurationError
from wikimirror.settings.runnable import CONNECTIONS_PER_HOST
from wikimirror.sources.http import (
    Disconnected,
    Ending,
    HttpClient,
    Patience,
    Reply,
    retry_after,
    user_agent,
)

PATIENCE = Patience(connect=timedelta(seconds=10), idle=timedelta(seconds=10))
NOW = 1_795_219_200.0
DATE = "Sat, 21 Nov 2026 00:00:00 GMT"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def client() -> HttpClient:
    return HttpClient("ops@example.org")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def _trusting(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's authority is trusted."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


async def greeting(connection: Connection) -> None:
    await connection.head()
    await connection.send(b"hello")
    await connection.end()


async def get(client: HttpClient, url: str, patience: Patience = PATIENCE) -> bytes:
    async with asyncio.timeout(DEADLINE), client.get(url, {}, patience) as reply:
        return await whole(reply)


async def whole(reply: Reply) -> bytes:
    body = b""
    while chunk := await reply.chunk():
        body += chunk
    return body


async def refused(client: HttpClient, url: str, patience: Patience = PATIENCE) -> Disconnected:
    with pytest.raises(Disconnected) as caught:
        await get(client, url, patience)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("contact", [None, "", "me", "me@", "@example.org", "me@host", "ftp://example.org", "http://"])
def test_without_a_contact_nothing_is_asked(contact: str | None) -> None:
    with pytest.raises(ConfigurationError, match=r"http\.contact") as caught:
        HttpClient(contact)

    assert "User-Agent_Policy" in caught.value.remedy
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "contact", ["me@example.org\r\nX-Evil: 1", "me@example.org)", "https://a.org/ b", "https://a.org/(b)", "mé@a.org"]
)
def test_a_contact_that_breaks_the_header_is_not_taken(contact: str) -> None:
    with pytest.raises(ConfigurationError):
        user_agent(contact)


@pytest.mark.parametrize(
    "contact", ["o'n+x@mail.example.org", "mailto:me@example.org", "https://example.org/bot?x=1#y", "http://[::1]/"]
)
def test_the_user_agent_names_program_version_and_contact(contact: str) -> None:
    name, _, rest = user_agent(contact).partition("/")

    assert name == "wikimirror"
    assert rest.split(" ", 1)[0][0].isdigit()
    assert rest.endswith(f" ({contact})")


async def test_every_request_says_who_we_are(client: HttpClient) -> None:
    async with serving(greeting) as server:
        assert await get(client, server.url) == b"hello"

    assert server.requests[0].fields["user-agent"] == user_agent("ops@example.org")


@pytest.mark.parametrize(
    ("said", "date", "seconds"),
    [
        ("7", None, 7.0),
        (" 120 ", None, 120.0),
        ("0", None, 0.0),
        ("86400", None, 3600.0),
        ("9" * 5000, None, 3600.0),
        ("Sat, 21 Nov 2026 00:00:30 GMT", DATE, 30.0),
        ("Sat, 21 Nov 2026 00:00:30 GMT", None, 30.0),
        ("Saturday, 21-Nov-26 00:00:30 GMT", DATE, 30.0),
        ("Sat, 21 Nov 2026 02:00:30 +0200", DATE, 30.0),
        ("Sat, 21 Nov 2026 00:00:30", DATE, 30.0),
        ("Fri, 20 Nov 2026 00:00:00 GMT", DATE, 0.0),
        ("Tue, 21 Nov 2028 00:00:00 GMT", DATE, 3600.0),
        ("-7", None, None),
        ("1.5", None, None),
        ("soon", None, None),
        ("", None, None),
        ("²", None, None),
        ("Sat, 99 Nov 2026 00:00:30 GMT", DATE, None),
        ("Thu, 21 Nov 1901 00:00:30 GMT", DATE, None),
        (None, DATE, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_bounded_and_ignored_when_illegible(
    said: str | None, date: str | None, seconds: float | None
) -> None:
    headers = {name: text for name, text in (("Retry-After", said), ("Date", date)) if text is not None}

    assert retry_after(headers, NOW) == seconds


def test_a_date_counts_from_the_servers_time_whatever_our_clock_says() -> None:
    headers = {"Retry-After": "Sat, 21 Nov 2026 00:00:30 GMT", "Date": DATE}

    assert retry_after(headers, NOW - 86_400 * 300) == 30.0


@pytest.mark.usefixtures("_trusting")
async def test_an_authority_of_ones_own_is_trusted_by_ssl_cert_file(client: HttpClient, tls: ssl.SSLContext) -> None:
    async with serving(greeting, tls=tls) as server:
        assert await get(client, server.url) == b"hello"


async def test_an_authority_of_ones_own_is_trusted_by_ssl_cert_dir(
    client: HttpClient,
    authority: trustme.CA,
    tls: ssl.SSLContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    require_part: Callable[[str, bool, str], None],
) -> None:
    openssl = shutil.which("openssl")
    require_part("openssl", openssl is not None, "apt install openssl")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    hashed = subprocess.run(
        [openssl or "", "x509", "-noout", "-hash", "-in", tmp_path / "ca.pem"], check=True, capture_output=True
    )
    (tmp_path / "ca.pem").rename(tmp_path / f"{hashed.stdout.decode().strip()}.0")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))

    async with serving(greeting, tls=tls) as server:
        assert await get(client, server.url) == b"hello"


async def test_authorities_are_read_anew_for_each_connection(
    client: HttpClient, authority: trustme.CA, tls: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with serving(greeting, tls=tls) as server:
        await refused(client, server.url)

        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        assert await get(client, server.url) == b"hello"


async def test_a_certificate_that_is_not_trusted_is_told_with_the_variable_to_set(
    client: HttpClient, tls: ssl.SSLContext
) -> None:
    async with serving(greeting, tls=tls) as server:
        error = await refused(client, server.url)

    assert error.ending == Ending.UNREACHABLE
    assert f"localhost:{server.port} is not trusted: unable to get local issuer certificate" in str(error)
    assert "SSL_CERT_FILE" in error.remedy
    assert not server.requests


async def test_a_file_of_authorities_that_is_not_there_is_told(
    client: HttpClient, tls: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    async with serving(greeting, tls=tls) as server:
        error = await refused(client, server.url)

    assert "SSL_CERT_FILE names a file that is not there" in error.remedy


@pytest.mark.usefixtures("_trusting")
async def test_a_certificate_for_another_name_is_not_trusted(client: HttpClient, authority: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("stream.example.org").configure_cert(context)
    async with serving(greeting, tls=context) as server:
        error = await refused(client, server.url)

    assert "Hostname mismatch" in str(error)


async def test_a_server_without_tls_is_told_as_that(client: HttpClient) -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "localhost", 0) as server:
        host = f"localhost:{server.sockets[0].getsockname()[1]}"
        error = await refused(client, f"https://{host}")

    assert error.ending == Ending.UNREACHABLE
    assert f"no TLS with {host}: " in str(error)


async def test_a_proxy_is_used_for_http_as_the_variable_says(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(greeting) as server, proxying() as (proxy, asked):
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy}")
        assert await get(client, f"{server.url}/v2") == b"hello"

    assert [request.line for request in asked] == [f"GET {server.url}/v2 HTTP/1.1"]


@pytest.mark.usefixtures("_trusting")
async def test_a_proxy_is_used_for_https_with_its_password_and_a_private_authority(
    client: HttpClient, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = "Basic " + b64encode(b"me:hush").decode()
    async with serving(greeting, tls=tls) as server, proxying(only=wanted) as (proxy, asked):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:hush@{proxy}")
        assert await get(client, server.url) == b"hello"

    assert asked[0].line.startswith(f"CONNECT localhost:{server.port} ")
    assert "proxy-authorization" not in server.requests[0].fields


async def test_no_proxy_is_used_for_a_host_that_no_proxy_names(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(greeting) as server, proxying() as (proxy, asked):
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy}")
        monkeypatch.setenv("NO_PROXY", "localhost")
        assert await get(client, server.url) == b"hello"

    assert not asked


async def test_a_proxy_that_refuses_is_told_without_its_password(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxying(only="Basic other") as (proxy, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:hush@{proxy}")
        error = await refused(client, "https://stream.example.org")

    assert error.ending == Ending.UNREACHABLE
    assert str(error) == "the proxy on the way to stream.example.org answered 407 when asked for it"
    assert "HTTPS_PROXY" in error.remedy
    assert "hush" not in f"{error}{error.remedy}"


@pytest.mark.parametrize("proxy", ["http://me:hush@localhost:{port}", "http://me:hush@proxy.invalid:3128"])
async def test_a_proxy_that_is_not_there_is_told_without_its_password(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.format(port=unused_port()))
    error = await refused(client, "https://stream.example.org")

    assert error.ending == Ending.UNREACHABLE
    assert "proxy" in str(error)
    assert "hush" not in f"{error}{error.remedy}"


async def test_a_proxy_variable_that_is_no_url_is_told_without_quoting_it(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hush@proxy:port")
    error = await refused(client, "https://stream.example.org")

    assert "the proxy's in the environment, cannot be used" in str(error)
    assert "hush" not in f"{error}{error.remedy}"


async def test_a_name_that_is_not_known_is_told(client: HttpClient) -> None:
    error = await refused(client, "https://stream.invalid/v2")

    assert (error.ending, str(error)) == (Ending.UNREACHABLE, "the name stream.invalid cannot be resolved")


async def test_a_port_where_nobody_listens_is_told(client: HttpClient) -> None:
    port = unused_port()
    error = await refused(client, f"http://localhost:{port}")

    assert error.ending == Ending.UNREACHABLE
    assert str(error) == f"localhost:{port} cannot be reached: Connection refused"


async def test_connecting_has_a_limit(client: HttpClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        error = await refused(client, f"https://{host}", PATIENCE._replace(connect=timedelta(seconds=0.3)))

    assert (error.ending, str(error)) == (Ending.UNREACHABLE, f"no connection to {host} within 0.3 s")


@pytest.mark.parametrize("place", ["before the head", "after it"])
async def test_silence_has_a_limit(client: HttpClient, place: str) -> None:
    async def silent(connection: Connection) -> None:
        if place == "after it":
            await connection.head()
            await connection.send(b"hello")
        await connection.until_left()

    async with serving(silent) as server:
        error = await refused(client, server.url, Patience(*(timedelta(seconds=0.3),) * 2))

    assert (error.ending, str(error)) == (Ending.IDLE, f"localhost:{server.port} sent nothing for 0.3 s")


async def test_there_is_no_limit_to_the_whole(client: HttpClient) -> None:
    async def slow(connection: Connection) -> None:
        await connection.head()
        for _ in range(8):
            await connection.send(b".")
            await asyncio.sleep(0.1)  # slower than the limit in all, faster in each
        await connection.end()

    async with serving(slow) as server:
        assert await get(client, server.url, Patience(*(timedelta(seconds=0.4),) * 2)) == b"........"


async def close(connection: Connection) -> None:
    await connection.raw(b"")


async def break_off(connection: Connection) -> None:
    await connection.head()
    await connection.raw(b"10\r\nhalf")


async def reset(connection: Connection) -> None:
    await connection.head()
    await connection.send(b"hello")
    connection.reset()


@pytest.mark.parametrize("script", [close, break_off, reset])
async def test_a_connection_that_breaks_off_is_told_as_cut(client: HttpClient, script: Script) -> None:
    async with serving(script) as server:
        error = await refused(client, server.url)

    assert (error.ending, str(error)) == (Ending.CUT, f"the connection to localhost:{server.port} was cut")
    assert "Nothing is lost" in error.remedy


async def test_a_body_that_is_no_longer_in_chunks_comes_to_an_end(client: HttpClient) -> None:
    read = asyncio.Event()

    async def damage(connection: Connection) -> None:
        await connection.head()
        await connection.send(b"hello")
        await read.wait()
        await connection.raw(b"no length\r\nhello\r\n")

    patience = PATIENCE._replace(idle=timedelta(seconds=0.5))
    async with asyncio.timeout(DEADLINE), serving(damage) as server, client.get(server.url, {}, patience) as reply:
        assert await reply.chunk() == b"hello"
        read.set()
        with pytest.raises(Disconnected) as caught:
            await reply.chunk()

    assert caught.value.ending == Ending.IDLE


async def test_a_server_that_does_not_speak_http_is_told(client: HttpClient) -> None:
    async def smtp(connection: Connection) -> None:
        await connection.raw(b"220 mail.example.org ESMTP\r\n")
        await connection.until_left()

    async with serving(smtp) as server:
        error = await refused(client, server.url)

    assert error.ending == Ending.NOT_A_STREAM
    assert "does not answer in HTTP" in str(error)


async def test_redirects_are_followed_a_few_times(client: HttpClient) -> None:
    async def elsewhere(connection: Connection) -> None:
        await connection.raw(b"HTTP/1.1 307 Said\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n")

    async with serving(elsewhere, elsewhere, greeting) as server:
        assert await get(client, server.url) == b"hello"
        assert server.requests[2].line == "GET /there HTTP/1.1"

    async with serving(elsewhere) as server:
        error = await refused(client, server.url)
    assert error.ending == Ending.NOT_A_STREAM
    assert len(server.requests) <= 5


async def test_two_connections_to_a_host_are_made_at_most_and_a_third_is_told_at_once(client: HttpClient) -> None:
    async def patient(connection: Connection) -> None:
        await connection.head()
        await connection.until_left()

    async with serving(patient) as server, serving(greeting) as other:
        async with client.get(server.url, {}, PATIENCE), client.get(server.url, {}, PATIENCE):
            error = await refused(client, server.url)
            assert await get(client, other.url) == b"hello"
        assert error.ending == Ending.THROTTLED
        assert "one connection" in error.remedy
        assert (len(server.requests), server.most) == (2, CONNECTIONS_PER_HOST)

        async with client.get(server.url, {}, PATIENCE) as reply:
            assert reply.status == 200


async def test_a_connection_that_failed_takes_no_place(client: HttpClient) -> None:
    url = f"http://localhost:{unused_port()}"

    assert {(await refused(client, url)).ending for _ in range(5)} == {Ending.UNREACHABLE}


@pytest.mark.usefixtures("_trusting")
async def test_leaving_closes_the_connection_at_once_though_the_server_sends_on(
    client: HttpClient, tls: ssl.SSLContext
) -> None:
    left = asyncio.Event()

    async def endless(connection: Connection) -> None:
        try:
            await connection.head()
            while True:
                await connection.send(b"x" * 10_000)
        finally:
            left.set()

    for context in (None, tls):
        left.clear()
        async with asyncio.timeout(DEADLINE), serving(endless, tls=context) as server:
            async with client.get(server.url, {}, PATIENCE) as reply:
                assert await reply.chunk()
            await left.wait()


@pytest.mark.usefixtures("_trusting")
async def test_leaving_does_not_wait_for_a_server_that_no_longer_listens(
    client: HttpClient, tls: ssl.SSLContext
) -> None:
    left = asyncio.Event()

    async def deaf(connection: Connection) -> None:
        await connection.head()
        connection.go_deaf()
        await left.wait()

    async with asyncio.timeout(DEADLINE), serving(deaf, tls=tls) as server:
        async with client.get(server.url, {}, PATIENCE):
            before = open_sockets()
        assert open_sockets() < before
        left.set()


def open_sockets() -> int:
    kinds = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(kind.startswith("socket:") for kind in kinds)


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
