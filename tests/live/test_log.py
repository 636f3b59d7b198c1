"""What a daemon says at debug level on a bad day: no text, title, editor name, comment or password (promise P3)."""

from __future__ import annotations

from pathlib import Path

from tests.live.daemon import Daemon
from tests.live.telling import END_SESSIONS, TYPOS, damaged_of, must_tell_nothing, reasons_of, said_by
from tests.live.truth import durable, nobody_writes
from tests.live.world import a_day, serve
from tests.statements import run
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.rehearsal import Answer, Cut, Faults

SEED, ACTIONS = 51, 3000
RATE = 1500.0
FAULTS = Faults(
    cut=Cut.MID_RECORD,
    cut_seconds=0.5,
    duplicate_every=40,
    poison_every=200,
    oversized_every=900,
    oversized_bytes=100_000,
    answer=Answer.HTML,
    answers=2,
)


async def test_a_debug_log_of_a_bad_day_tells_no_content_and_no_password(
    postgres_server: EmbeddedPostgres, database_url: str, tmp_path: Path
) -> None:
    url = postgres_server.dsn(database_url.partition("@/")[2].partition("?")[0], tcp=True)
    await run(database_url, TYPOS)
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world:
        world.server.faults = FAULTS
        config = world.config(
            postgres={"url": url}, source={"record_bytes": "64KiB"}, health={"stalled_after": "300ms"}
        )
        async with Daemon(config) as daemon:
            await daemon.line("waiting", waiting_for="source")
            world.publish(RATE)
            await daemon.line("durable")
            for topic, value in damaged_of(world.day):
                world.log.append(topic, value)
            async with nobody_writes(database_url):
                await daemon.line("a stage is stalled")
            await daemon.line("durable")
            await run(database_url, END_SESSIONS)
            await daemon.line("waiting", waiting_for="database")
            await daemon.line("connection lost")
            await world.publication
            await durable(database_url, world.log.ends)
            told = await said_by(daemon)

    reasons = await reasons_of(database_url)
    assert {"sqlstate_23514"} < reasons, f"too little went wrong: {reasons}"
    must_tell_nothing(world.day, told)
    assert url.partition("@")[0].rpartition(":")[2] not in told
