"""The pages as they are served: who sees what, and what is said while Postgres is away."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.observe.clock import THRESHOLDS, Clock
from wikimirror.app.admin import token_of
from wikimirror.errors import ConfigurationError, DatabaseUnavailable
from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.operations import begin_operation
from wikimirror.model import Lane, Position
from wikimirror.observe.backlog import Backlog
from wikimirror.observe.telemetry import Telemetry
from wikimirror.observe.vitals import Vitals, Waiting
from wikimirror.settings import AdminSettings
from wikimirror.web import AdminServer, Details, StatusPages
from wikimirror.web import details as details_module
from wikimirror.web import status as status_module

TOKEN = "correct horse battery staple"  # it opens nothing
HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def telemetry(clock: Clock) -> Telemetry:
    return Telemetry(THRESHOLDS, wall=lambda: clock.wall, monotonic=lambda: clock.monotonic)


@pytest.fixture
def vitals(clock: Clock, telemetry: Telemetry) -> Vitals:
    vitals = telemetry.add(clock.active("wiki"))
    vitals.heard(Lane("wiki", "pages", 0), clock.published(ago=0.25))
    return vitals


@asynccontextmanager
async def serving(telemetry: Telemetry, **more: Any) -> AsyncIterator[aiohttp.ClientSession]:
    pages = StatusPages(telemetry, started=lambda: True, **more)
    async with (
        AdminServer("127.0.0.1:0", telemetry, started=lambda: True, pages=pages) as server,
        aiohttp.ClientSession(server.url, timeout=aiohttp.ClientTimeout(30)) as client,
    ):
        yield client


def having(token: str | None) -> Callable[[], Any]:
    async def read() -> str | None:
        return token

    return read


@pytest.fixture
def details(database_url: str) -> Details:
    return Details(lambda: connect(database_url, write=False))


def basic(token: str, user: str = "anybody") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()}


BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def test_the_page_allows_nothing_but_itself_and_is_not_kept(telemetry: Telemetry, vitals: Vitals) -> None:
    assert vitals.connected
    async with serving(telemetry) as client, client.get("/") as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.content_type == "text/html"
        text = await answer.text()
    assert "<script" not in text
    assert not re.findall(r'(?:src|href|action)="(?:https?:)?//', text)


async def test_it_refreshes_itself_until_it_is_paused(telemetry: Telemetry, vitals: Vitals) -> None:
    assert vitals.connected
    refresh = '<meta http-equiv="refresh" content="5">'
    async with serving(telemetry) as client:
        async with client.get("/") as answer:
            live = await answer.text()
        async with client.get("/?live=off") as answer:
            paused = await answer.text()
    assert refresh in live
    assert 'href="/?live=off"' in live
    assert refresh not in paused
    assert 'href="/"' in paused


async def test_what_is_not_known_is_a_dash_in_the_page_and_null_for_programs(
    telemetry: Telemetry, vitals: Vitals
) -> None:
    assert vitals.connected
    async with serving(telemetry) as client:
        async with client.get("/status.json") as answer:
            told = await answer.json()
        async with client.get("/") as answer:
            text = await answer.text()
    assert told["backlog"]["gaps_open"] is told["backlog"]["dead_letters"] is told["fresh"] is None
    assert told["sources"][0]["seconds_behind"] == 0.25
    assert told["sources"][0]["records_behind"] is None
    assert re.search(r'<dt>gaps open</dt><dd><span aria-hidden="true">–</span><span class="hidden">not known', text)


async def test_both_tell_the_same_sentence(telemetry: Telemetry, vitals: Vitals) -> None:
    telemetry.note_backlog(Backlog({"not_json": 2}, 1, {}, 1))
    vitals.wait(Waiting.SOURCE, "host.internal says no")
    async with serving(telemetry, runbooks="https://books.example.org/r") as client:
        async with client.get("/status.json") as answer:
            told = await answer.json()
        async with client.get("/") as answer:
            text = await answer.text()
    assert told["sentence"] == "wiki waits for its source."
    assert f">{told['sentence']}</h1>" in text
    assert f"<title>{told['title']}</title>" in text
    assert "host.internal" not in text + str(told)
    for name in ("SourceUnavailable", "RetractionSetAside", "GapOpen", "DeadLetters"):
        assert f'href="https://books.example.org/r/Wikimirror{name}.md"' in text


async def test_names_are_escaped(clock: Clock, telemetry: Telemetry) -> None:
    vitals = telemetry.add(clock.active(HOSTILE))
    vitals.missing_topics = (HOSTILE,)
    async with serving(telemetry) as client, client.get("/") as answer:
        text = await answer.text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


async def test_a_thousand_lanes_are_cut_to_the_worst_and_status_json_has_all(
    monkeypatch: pytest.MonkeyPatch, telemetry: Telemetry, clock: Clock
) -> None:
    monkeypatch.setattr(status_module, "_MOST_LANES", 3)
    vitals = telemetry.add(clock.active("wiki"))
    lanes = [Lane("wiki", "pages", number) for number in range(5)]
    vitals.hold(lanes)
    for lane in lanes:
        vitals.heard(lane, clock.published(0.2))
        vitals.durable[lane] = Position(7, 0)
    vitals.reached = dict(vitals.durable)
    telemetry.sample()
    async with serving(telemetry) as client:
        async with client.get("/status.json") as answer:
            assert len((await answer.json())["lanes"]) == 5
        async with client.get("/") as answer:
            text = await answer.text()
    assert text.count('scope="row"') == 3
    assert "2 more lanes" in text


@pytest.mark.parametrize("token", [None, TOKEN])
async def test_without_a_token_or_a_reader_details_are_shut_and_say_how_to_open_them(
    telemetry: Telemetry, token: str | None, details: Details
) -> None:
    async with serving(telemetry, details=None if token else details, token=having(token)) as client:
        for path in ("/details", "/details.json"):
            async with client.get(path, headers=BEARER) as answer:
                assert answer.status == 404
                assert "admin.token" in await answer.text()
                assert "WWW-Authenticate" not in answer.headers


async def test_a_token_that_cannot_be_read_opens_nothing_and_names_no_file(
    telemetry: Telemetry, details: Details
) -> None:
    async def fails() -> str:
        raise ConfigurationError("the token file /run/secrets/x cannot be read")

    async with serving(telemetry, details=details, token=fails) as client, client.get("/details") as answer:
        assert answer.status == 404
        text = await answer.text()
    assert "the token cannot be read" in text
    assert "/run/secrets" not in text


@pytest.mark.parametrize("headers", [{}, basic("wrong"), {"Authorization": "Bearer wrong"}, basic("", TOKEN)])
async def test_a_wrong_token_is_asked_for_again(
    telemetry: Telemetry, details: Details, headers: dict[str, str]
) -> None:
    async with serving(telemetry, details=details, token=having(TOKEN)) as client:
        for path in ("/details", "/details.json"):
            async with client.get(path, headers=headers) as answer:
                assert answer.status == 401
                schemes = [value.split()[0] for value in answer.headers.getall("WWW-Authenticate")]
                assert schemes == ["Basic", "Bearer"]
                assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("headers", [BEARER, basic(TOKEN), basic(TOKEN, user="")])
async def test_the_token_opens_what_waits_who_works_and_who_did_what(
    telemetry: Telemetry, vitals: Vitals, details: Details, session: Session, headers: dict[str, str]
) -> None:
    await fill(session)
    vitals.wait(Waiting.SOURCE, "host.internal says no")
    async with serving(telemetry, details=details, token=having(TOKEN)) as client:
        async with client.get("/details", headers=headers) as answer:
            assert answer.status == 200
            text = await answer.text()
        async with client.get("/details.json", headers=headers) as answer:
            told = await answer.json()
    assert "host.internal says no" in text
    assert "RETRACTS, and its page is not hidden" in text
    for said in ("wiki pages[0] 12", "enwiki page 42", "SQLSTATE 22003", "expired", "dead-letters redrive", "jo@desk"):
        assert said in text
    assert "<script" not in text
    assert "DO NOT SHOW" not in text + str(told)
    recent = told["recent"]
    assert [letter["offset"] for letter in recent["letters"]] == [11, 12], "what retracts comes first"
    assert recent["gaps"][0]["opened_at"].endswith("Z")
    assert recent["reconcile"] == [{**recent["reconcile"][0], "page_id": 42, "rev_id": None}]
    assert recent["operations"][0]["command"] == "dead-letters redrive"
    assert "waits for source" in told["why"]["wiki"]


async def fill(session: Session) -> None:
    async with session.transaction():
        for offset, reason, retracts in ((11, "unknown_major", True), (12, HOSTILE, False)):
            await session.execute(
                'INSERT INTO dead_letter (source, topic, partition, "offset", reason, sqlstate, wiki_id, page_id,'
                " rev_id, payload, retracts) VALUES ('wiki', 'pages', 0, $1, $2, '22003', 'enwiki', 42, 7, $3, $4)",
                offset,
                reason,
                b"DO NOT SHOW",
                retracts,
            )
        await session.execute(
            "INSERT INTO gap (source, topic, partition, from_position, reason)"
            " VALUES ('wiki', 'pages', 1, 5, 'expired')"
        )
        await session.execute("INSERT INTO reconcile (wiki_id, page_id, reason) VALUES ('enwiki', 42, 'vacated')")
    await begin_operation(
        session, who="jo@desk", command="dead-letters redrive", arguments={"reason": HOSTILE}, dry_run=True
    )


async def test_while_postgres_is_away_the_page_says_so(telemetry: Telemetry) -> None:
    async def refuses() -> Session:
        raise DatabaseUnavailable("postgresql://me:hunter2@db/ does not answer")

    async with serving(telemetry, details=Details(refuses), token=having(TOKEN)) as client:
        async with client.get("/details", headers=BEARER) as answer:
            text = await answer.text()
        async with client.get("/details.json", headers=BEARER) as answer:
            told = await answer.json()
    assert "Postgres does not tell" in text
    assert "does not answer" in text
    assert "WikimirrorPostgresUnavailable" in text.replace("<wbr>", "")
    assert told["recent"] is None
    assert "hunter2" not in text + str(told)


async def test_a_postgres_that_hangs_is_given_up_and_holds_up_no_probe(
    monkeypatch: pytest.MonkeyPatch, telemetry: Telemetry
) -> None:
    monkeypatch.setattr(details_module, "_LONGEST", 0.5)
    asked = asyncio.Event()

    async def hangs() -> Session:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(telemetry, details=Details(hangs), token=having(TOKEN)) as client:
        waiting = asyncio.create_task(client.get("/details.json", headers=BEARER))
        await asked.wait()
        async with client.get("/livez") as answer:
            assert answer.status == 200
        assert not waiting.done()
        async with await waiting as answer:
            assert "no answer within" in (await answer.json())["unavailable"]


async def test_however_many_ask_postgres_is_asked_once_in_two_seconds(database_url: str) -> None:
    at_once, most, asked = 0, 0, 0

    async def counted() -> Session:
        nonlocal at_once, most, asked
        asked += 1
        at_once += 1
        most = max(most, at_once)
        session = await connect(database_url, write=False)
        at_once -= 1
        return session

    details = Details(counted)
    answers = await asyncio.gather(*(details.read() for _ in range(20)))
    assert (asked, most) == (1, 1)
    assert len({id(answer) for answer in answers}) == 1
    assert answers[0].recent is not None
    assert abs((answers[0].recent.at - datetime.now(tz=UTC)).total_seconds()) < 60
    details._answered -= details_module.KEPT
    await details.read()
    assert asked == 2


async def test_a_token_file_is_read_by_its_first_line_and_must_say_something(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\r\nmore\n")
    admin = AdminSettings(token_file=path)
    assert await token_of(admin) == TOKEN
    path.write_text("\n")
    with pytest.raises(ConfigurationError, match="empty line"):
        await token_of(admin)
    path.unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        await token_of(admin)
    assert await token_of(AdminSettings()) is None


def test_a_token_and_a_file_for_it_are_not_said_together(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.touch()
    with pytest.raises(ValueError, match="must not be said beside token"):
        AdminSettings.model_validate({"token": TOKEN, "token_file": path})
