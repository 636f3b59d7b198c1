"""What a daemon says at debug level that follows Kafka on a bad day: no text, title, editor, comment or secret (P3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.kafka.world import serve_kafka
from tests.live.daemon import Daemon
from tests.live.telling import END_SESSIONS, TYPOS, damaged_of, must_tell_nothing, reasons_of, said_by
from tests.live.truth import nobody_writes
from tests.live.world import a_day
from tests.statements import run
from wikimirror.rehearsal.broker import KafkaBroker

SEED, ACTIONS = 51, 3000
RATE = 1000.0
USER, PASSWORD, WRONG = "mirroruser", "Kq7vwZpLmx", "Xt4hbnRyJc"
LOGIN = {"security_protocol": "sasl_plaintext", "sasl_mechanism": "SCRAM-SHA-256", "username": USER}


async def test_a_debug_log_of_a_bad_day_on_kafka_tells_no_content_and_no_password(
    make_broker: Callable[..., Awaitable[KafkaBroker]], database_url: str, tmp_path: Path
) -> None:
    broker = await make_broker(users={USER: PASSWORD})
    await run(database_url, TYPOS)
    day = a_day(SEED, ACTIONS)
    async with serve_kafka(day, broker.bootstrap, database_url, tmp_path) as world:
        login = {**LOGIN, "bootstrap_servers": [broker.address("sasl_plaintext")], "idle_timeout": "4s"}
        async with Daemon(world.config(source={**login, "password": WRONG})) as refused:
            assert await refused.end() == 1
        told = [bytes(refused.stderr + refused.stdout).decode()]
        assert "do not accept who we say we are" in told[0]

        config = world.config(source={**login, "password": PASSWORD}, health={"stalled_after": "300ms"})
        async with Daemon(config) as one, Daemon(config) as other:
            for each in (one, other):
                await each.line("reading")
            world.publish(RATE, broken_every=200)
            await one.line("durable")
            await world.topics.send(
                day.arrivals[0]._replace(topic=topic, value=value) for topic, value in damaged_of(day)
            )
            async with nobody_writes(database_url):
                await one.line("a stage is stalled")
            await run(database_url, END_SESSIONS)
            await one.line("waiting", waiting_for="database")
            told.append(await said_by(other))
            await broker.kill()
            await one.line("waiting", waiting_for="source")
            await broker.start()
            await world.published()
            await world.durable()
            told.append(await said_by(one))

    reasons = await reasons_of(database_url)
    assert {"sqlstate_23514"} < reasons, f"too little went wrong: {reasons}"
    said = "\n".join(told)
    must_tell_nothing(day, said)
    assert PASSWORD not in said
    assert WRONG not in said
