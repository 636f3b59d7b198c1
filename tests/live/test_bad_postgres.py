"""A Postgres that is away, is full, or no longer knows the password: the daemon says so and waits, or refuses."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.live.cluster import Cluster, own_cluster
from tests.live.daemon import Daemon
from tests.live.disk import fill, lying_on, small_disk_of
from tests.live.probes import until_answers
from tests.live.truth import accounts_add_up, durable, must_equal
from tests.live.within import ends_equal, following
from tests.live.world import SOURCE, World, a_day, serve
from tests.statements import run
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.observe.health import State
from wikimirror.settings import SECRETS_VARIABLE

SEED, ACTIONS = 14, 1200
RATE = 60.0
"""Records a second, so that the day lasts longer than the trouble on a slow machine too."""
MEMORY = 2**20
ATTEMPTS = 8
"""To be made in an outage before it ends."""
DEADLINE = 30.0


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as served:
        yield served


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with own_cluster() as made:
        yield made


async def _until_attempted(daemon: Daemon) -> None:
    """Wait until many more attempts have failed."""
    before = len(daemon.lines("still waiting", waiting_for="database"))
    async with asyncio.timeout(DEADLINE):
        while len(daemon.lines("still waiting", waiting_for="database")) < before + ATTEMPTS:
            await asyncio.sleep(0.02)


async def test_a_postgres_that_is_gone_for_a_while_is_waited_for_in_bounded_memory_and_few_words(
    tmp_path: Path, cluster: Cluster
) -> None:
    url = await cluster.database("gone")
    async with serve(a_day(SEED, ACTIONS), url, tmp_path) as world:
        config = world.config(memory={"bytes": MEMORY}, retry={"longest": "100ms"}, lease={"duration": "2s"})
        async with Daemon(config) as daemon:
            await daemon.line("reading")
            world.publish(RATE)
            for sign in (signal.SIGQUIT, signal.SIGKILL):
                await daemon.line("durable")
                await cluster.end(sign)
                await until_answers(daemon, "/readyz", 503, "waits for database")
                if sign == signal.SIGKILL:
                    await world.published()
                    await _until_reading_stops(daemon, world)
                await _until_attempted(daemon)
                await until_answers(daemon, "/livez", 200)
                await cluster.start()
                await daemon.line("waiting is over", waiting_for="database")
                await until_answers(daemon, "/readyz", 200)
            await durable(url, world.log.ends)
            assert await daemon.stop() == 0
        accounts_add_up(daemon.report)
        await must_equal(url, world.day, world.log)
        # Cut off, not there, starting: each is told once in each of the two outages, not with each attempt.
        told = Counter((line["waiting_for"], line["reason"]) for line in daemon.lines("waiting", level="warning"))
        assert {what for what, _ in told} == {"database", "lease"}
        assert max(told.values()) <= 2


async def _until_reading_stops(daemon: Daemon, world: World) -> None:
    """Wait until nothing more is read, for what waits has filled its room."""
    before, read = -1.0, 0.0
    async with asyncio.timeout(DEADLINE):
        while read != before:
            await asyncio.sleep(0.3)  # that nothing happens is no event
            scrape = await daemon.metrics()
            assert scrape.of("wikimirror_waiting_bytes", SOURCE) <= MEMORY
            before, read = read, scrape.of("wikimirror_records_read_total", SOURCE)
    assert scrape.of("wikimirror_waiting_bytes", SOURCE) > MEMORY / 2
    assert read < world.log.end


async def test_a_postgres_that_is_away_at_the_start_is_waited_for(tmp_path: Path, cluster: Cluster) -> None:
    url = await cluster.database("away")
    await cluster.end(signal.SIGQUIT)
    async with serve(a_day(SEED, ACTIONS), url, tmp_path) as world:
        world.publish(10 * RATE)
        async with Daemon(world.config(retry={"longest": "100ms"})) as daemon:
            line = await daemon.line("waiting", waiting_for="database", level="warning")
            assert "cannot be reached" in line["reason"]
            assert line["remedy"]
            await until_answers(daemon, "/startupz", 503)
            await until_answers(daemon, "/readyz", 503, "cannot be reached")
            await until_answers(daemon, "/livez", 200)
            await _until_attempted(daemon)
            assert world.server.counts.requests == 0
            await cluster.start()
            await daemon.line("reading")
            await until_answers(daemon, "/startupz", 200)
            await world.published()
            await durable(url, world.log.ends)
            assert await daemon.stop() == 0
        await must_equal(url, world.day, world.log)


# Passwords


class Login:
    """A user of the run's Postgres who needs a password, and may only write the mirror."""

    def __init__(self, server: EmbeddedPostgres, database_url: str) -> None:
        self.admin = server.dsn()
        self._place = f"127.0.0.1:{server.port}{urlsplit(database_url).path}"
        self.name = f"login{urlsplit(database_url).path.strip('/')}"

    def url(self, password: str) -> str:
        return f"postgresql://{self.name}:{password}@{self._place}"

    @property
    def url_without(self) -> str:
        return f"postgresql://{self.name}@{self._place}"

    async def change(self, password: str) -> None:
        """From now on it is another one, also for whoever is connected."""
        await run(
            self.admin,
            f"ALTER ROLE {self.name} PASSWORD '{password}'",
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{self.name}'",
        )


@pytest.fixture
async def login(postgres_server: EmbeddedPostgres, database_url: str) -> AsyncIterator[Login]:
    made = Login(postgres_server, database_url)
    await run(
        made.admin, f"CREATE ROLE {made.name} LOGIN PASSWORD 'first-secret'", f"GRANT wikimirror_writer TO {made.name}"
    )
    yield made
    await run(made.admin, f"DROP ROLE {made.name}")


async def test_a_wrong_password_at_the_start_is_refused_at_once_and_not_repeated(world: World, login: Login) -> None:
    async with Daemon(world.config(postgres={"url": login.url("guessed-secret")})) as daemon:
        assert await daemon.end() == 1
    error = daemon.report["error"]
    assert error["kind"] == "DatabaseRefused"
    assert "password authentication failed" in error["message"]
    assert error["remedy"].startswith("Check the password")
    assert b"secret" not in daemon.stdout + daemon.stderr
    assert daemon.lines("waiting") == []


def _itself(password: str) -> str:
    return password


@pytest.mark.parametrize("kept_in", ["password_file", "secrets_directory"])
async def test_a_password_that_changes_is_waited_for_until_its_file_says_so_too(
    world: World, login: Login, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_in: str
) -> None:
    quick = {"lease": {"duration": "1s"}, "retry": {"longest": "100ms"}}
    if kept_in == "password_file":
        file, words = tmp_path / "password", _itself
        config = world.config(postgres={"url": login.url_without, "password_file": str(file)}, **quick)
    else:
        file, words = tmp_path / "secrets" / "postgres__url", login.url
        file.parent.mkdir()
        monkeypatch.setenv(SECRETS_VARIABLE, str(file.parent))
        config = world.config(**quick)
    file.write_text(words("first-secret"))
    world.publish(RATE)
    async with following(config) as daemon:

        def told() -> list[Any]:
            return [line for line in daemon.said("waiting", log_level="warning") if "28P01" in line["reason"]]

        await daemon.gets_on()
        await login.change("second-secret")
        await daemon.until(lambda: "28P01" in daemon.verdict.why)
        assert daemon.verdict.state is State.WAITING
        await daemon.until(lambda: {line["waiting_for"] for line in told()} == {"database", "lease"})
        await daemon.until(lambda: len(daemon.said("still waiting")) > ATTEMPTS)
        assert len(told()) == 2
        assert all(line["remedy"].startswith("Check the password") for line in told())
        file.write_text(words("second-secret"))
        await daemon.gets_on()
        await ends_equal(world, daemon)
    assert "secret" not in str(daemon.lines)


# Room


@pytest.fixture
def small_disk(require_part: Callable[[str, bool, str], None]) -> Iterator[Path]:
    with small_disk_of(require_part) as disk:
        yield disk


@pytest.fixture
async def tablespace(small_disk: Path, postgres_server: EmbeddedPostgres, database_url: str) -> AsyncIterator[Path]:
    """The test's database lies on the small disk."""
    async with lying_on(small_disk, postgres_server, database_url):
        yield small_disk


async def test_a_full_disk_is_waited_for_and_nothing_is_lost(tablespace: Path, world: World) -> None:
    world.publish(RATE)
    async with following(world.config()) as daemon:
        await daemon.gets_on()
        filler = tablespace / "filler"
        fill(filler)
        await daemon.until(lambda: "53100" in daemon.verdict.why)
        assert daemon.verdict.state is State.WAITING
        assert daemon.verdict.alive
        await daemon.until(lambda: len(daemon.said("still waiting")) > 2)
        told = [line for line in daemon.said("waiting", log_level="warning") if "53100" in line["reason"]]
        assert 1 <= len(told) <= 2
        filler.unlink()
        await daemon.gets_on()
        await ends_equal(world, daemon)
