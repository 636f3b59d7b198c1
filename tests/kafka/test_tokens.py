"""Tokens for OAUTHBEARER: where they come from, how long they are kept, and what is told when there is none."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kafka.oauth import TokenServer, token_server
from wikimirror.errors import SourceRefused, SourceUnavailable, WikimirrorError
from wikimirror.sources.kafka.tokens import ClientCredentials, NoToken, TokenFile

ID, SECRET = "wiki:mirror", "hunter2 &ä"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def server() -> AsyncIterator[TokenServer]:
    async with token_server(ID, SECRET) as given:
        yield given


def credentials(url: str, clock: Clock | None = None, **said: object) -> ClientCredentials:
    told = {"client_id": ID, "client_secret": SECRET, "scope": None, "seconds": 5.0, **said}
    return ClientCredentials(url, clock=clock or Clock(), **told)  # type: ignore[arg-type]  # named by a test


async def refusal_of(provider: TokenFile | ClientCredentials) -> WikimirrorError:
    with pytest.raises(NoToken) as raised:
        await provider.token()
    told = raised.value.told
    assert "hunter" not in f"{raised.value} {told} {told.remedy}"
    assert told.remedy
    return told


async def test_a_token_is_kept_until_most_of_its_life_is_over(server: TokenServer) -> None:
    clock = Clock()
    provider = credentials(server.url, clock)
    first = await provider.token()
    clock.now += 239
    assert await provider.token() == first
    assert len(server.asked) == 1
    clock.now += 2
    await provider.token()
    assert len(server.asked) == 2


async def test_connections_that_are_made_at_once_ask_once(server: TokenServer) -> None:
    provider = credentials(server.url)
    assert len(set(await asyncio.gather(*(provider.token() for _ in range(5))))) == 1
    assert len(server.asked) == 1


@pytest.mark.parametrize("life", [None, "soon", -1, float("inf"), 10**400])
async def test_a_token_whose_life_is_not_told_is_kept_for_minutes(life: object, server: TokenServer) -> None:
    server.life = life
    clock = Clock()
    provider = credentials(server.url, clock)
    await provider.token()
    clock.now += 200
    await provider.token()
    clock.now += 100
    await provider.token()
    assert len(server.asked) == 2


async def test_a_scope_is_asked_for_where_one_is_said(server: TokenServer) -> None:
    await credentials(server.url).token()
    await credentials(server.url, scope="kafka read").token()
    assert [each.get("scope") for each in server.asked] == [None, "kafka read"]


async def test_credentials_that_the_server_does_not_accept_are_told_as_refused(server: TokenServer) -> None:
    found = await refusal_of(credentials(server.url, client_secret="hunter3"))
    assert isinstance(found, SourceRefused)
    assert "gives no token: it answered 401" in str(found)
    assert "token_client_id" in found.remedy


@pytest.mark.parametrize("status", [302, 404, 429, 500, 503])
async def test_a_server_that_gives_none_for_now_is_waited_for_and_its_words_are_not_told(
    status: int, server: TokenServer
) -> None:
    server.answer = (status, "hunter4")
    found = await refusal_of(credentials(server.url))
    assert isinstance(found, SourceUnavailable)
    assert f"it answered {status}" in str(found)
    assert len(server.asked) == 1, "a secret follows no redirection"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>hunter4</html>",
        "[]",
        "{}",
        '{"access_token": 7}',
        '{"access_token": ""}',
        json.dumps({"access_token": "a\x01b"}),
        json.dumps({"access_token": "a b"}),
        '{"access_token": "' + "x" * 2**21 + '"}',
        "[" * 100_000,
    ],
)
async def test_an_answer_without_a_token_is_told(body: str, server: TokenServer) -> None:
    server.answer = (200, body)
    found = await refusal_of(credentials(server.url))
    assert isinstance(found, SourceUnavailable)
    assert "answered, and not with a token" in str(found)


async def test_a_server_that_is_not_there_is_told() -> None:
    found = await refusal_of(credentials("http://127.0.0.1:1/token"))
    assert isinstance(found, SourceUnavailable)
    assert "127.0.0.1:1 cannot be reached" in str(found)


async def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/token"
        async with asyncio.timeout(10):
            found = await refusal_of(credentials(url, seconds=0.1))
    assert isinstance(found, SourceUnavailable)


async def test_after_a_failure_the_next_connection_asks_again(server: TokenServer) -> None:
    provider = credentials(server.url)
    server.answer = (503, "")
    await refusal_of(provider)
    server.answer = None
    assert await provider.token()


async def test_a_token_file_is_read_each_time(tmp_path: Path) -> None:
    path = tmp_path / "token"
    provider = TokenFile(path)
    for said in ("first\n", " second "):
        path.write_text(said)
        assert await provider.token() == said.strip()


@pytest.mark.parametrize("content", [None, b"", b"\n", b"hunter4 hunter5", b"hunter\x01", b"\xff", "hunterä".encode()])
async def test_a_token_file_without_a_token_is_waited_for(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    found = await refusal_of(TokenFile(path))
    assert isinstance(found, SourceUnavailable)
    assert str(path) in str(found)
