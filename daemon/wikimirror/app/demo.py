"""The live demo: a simulated wiki served over HTTP, the daemon that follows it, and the comparison of the two."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from wikimirror.app.live import accounts_of, build_daemon, stop_by_signals, telemetry_of
from wikimirror.app.places import (
    DATABASE,
    DEMO_SCHEMA,
    Place,
    empty,
    find_place,
    in_schema,
    open_session,
    refuse_mirror,
    upgrade,
)
from wikimirror.app.running import run_to_end
from wikimirror.mirror.connect import Session
from wikimirror.ops.compare import Expected, compare
from wikimirror.ops.demo import Stopwatch, Watched, follow_to_the_end
from wikimirror.ops.reports import DemoReport, OnProgress
from wikimirror.pipeline.daemon import Daemon
from wikimirror.rehearsal import (
    DATACENTRES,
    STREAMS,
    WIKIS,
    Day,
    EventStreamsServer,
    Faults,
    Log,
    Publication,
    Truth,
    misbehave,
    pages_to_redact,
    publish,
    redacted_truth,
    simulate_day,
    told,
)
from wikimirror.settings import EventStreamsSettings, HttpSettings, RetrySettings, ScopeSettings, Settings
from wikimirror.sources import LiveSource

DEMO_ACTIONS: Final = 20_000
"""What happens in the simulated wikis in a demo, unless told otherwise."""
_SOURCE: Final = "rehearsal"
_ACTIONS_PUBLISHED_A_SECOND: Final = 1_000
"""Unless --for tells otherwise."""
_SHORTEST_DAY: Final = 1_200
_ACTIONS_A_SECOND: Final = 300
"""A tenth of what an ordinary machine simulates, applies and compares."""
_PUBLISHING: Final = 0.5
"""The share of the time given that the day takes to be published; the rest is for simulating and comparing."""
_OVERLAP: Final = timedelta(milliseconds=250)
"""The simulated service's times rise: more would only be read again and again, so much of a day lies in a second."""
_LONGEST_PAUSE: Final = timedelta(seconds=1)
"""Troubles of minutes take a moment here."""


def demo(
    settings: Settings, *, seconds: float | None, seed: int | None, actions: int | None, on_progress: OnProgress
) -> DemoReport:
    """Follow a simulated wiki's day into an empty mirror and compare the two. Ctrl-C: the rest of the day at once."""
    # The day's own wikis are its scope: some of its records come from another one.
    settings = settings.model_copy(update={"scope": ScopeSettings(wikis=WIKIS)})
    if settings.postgres.url is None and settings.postgres.schema_name == DATABASE:
        settings = in_schema(settings, DEMO_SCHEMA)
    chosen = secrets.randbelow(2**31) if seed is None else seed

    async def work() -> DemoReport:
        async with find_place(settings) as place:
            await (empty(settings, place) if place.embedded else refuse_mirror(settings, place))
            await upgrade(settings, place)
            count = actions or _affordable(seconds)
            day = await asyncio.to_thread(simulate_day, chosen, count, out_of_scope=True)
            pace = seconds * _PUBLISHING if seconds is not None else max(1.0, count / _ACTIONS_PUBLISHED_A_SECOND)
            async with await open_session(settings, place) as session:
                return await _rehearse(settings, place, session, day, chosen, pace, on_progress)

    return run_to_end(work())


def expected_of(settings: Settings, truth: Truth) -> Expected:
    """A simulated wiki's truth as the mirror is to show it."""
    current = {(page.wiki_id, page.rev_id) for page in truth.pages.values()}
    texts = {key: body._asdict() for key, body in truth.bodies.items()}
    keep_all = settings.history.bodies == "all"
    return Expected(
        pages={key: page._asdict() for key, page in truth.pages.items()},
        revisions={key: revision._asdict() for key, revision in truth.revisions.items()},
        bodies={key: row for key, row in texts.items() if keep_all or key[:2] in current},
        permitted=texts,
        forbidden=truth.forbidden,
    )


class _Published(NamedTuple):
    """A day being published into a log, as ops.demo.Upstream."""

    publication: Publication
    log: Log

    @property
    def published(self) -> int:
        return self.publication.published

    @property
    def total(self) -> int:
        return self.publication.total

    @property
    def ends(self) -> dict[str, int]:
        return self.log.ends

    def hurry(self) -> None:
        self.publication.hurry()


async def _rehearse(
    settings: Settings, place: Place, session: Session, day: Day, seed: int, pace: float, on_progress: OnProgress
) -> DemoReport:
    log, redacted, stopwatch = Log(), pages_to_redact(day), Stopwatch()
    telemetry = telemetry_of(settings)
    async with AsyncExitStack() as opened:
        server = await opened.enter_async_context(EventStreamsServer(log, Faults(redacted=redacted)))
        watched: list[Watched] = []

        def watch(source: LiveSource) -> LiveSource:
            watched.append(Watched(source))
            return watched[-1]

        following = _following(settings, server.url)
        daemon = build_daemon(following, place, telemetry, wrap=watch, on_durable=stopwatch.note)
        publication = publish(day, log, seconds=pace)
        opened.callback(publication.cancel)
        troubles = asyncio.create_task(misbehave(server, pace, len(day.arrivals) / pace, redacted))
        opened.callback(troubles.cancel)
        wanted = _until_interrupted(daemon)
        took = await follow_to_the_end(daemon, watched[0], _Published(publication, log), on_progress, wanted)
        did = told(server.counts)
    comparison = await compare(session, expected_of(settings, redacted_truth(day.truth, redacted)))
    return DemoReport(
        play=accounts_of(telemetry.vitals[_SOURCE], took),
        freshness=stopwatch.freshness,
        upstream=did,
        situations={situation.value: count for situation, count in day.situations.items()},
        compared=comparison.compared,
        differences=comparison.differences,
        waiting=comparison.waiting,
        withholding=comparison.withholding,
        forbidden_found=comparison.forbidden_found,
        look_inside=_look_inside(settings, place),
        seed=seed,
    )


def _following(settings: Settings, url: str) -> Settings:
    source = EventStreamsSettings(
        type="eventstreams",
        url=url,
        streams=STREAMS,
        datacentres=DATACENTRES,
        start=datetime.now(tz=UTC),
        overlap=_OVERLAP,
        idle_timeout=timedelta(seconds=5),
    )
    http = HttpSettings(contact="demo@example.org")
    retry = RetrySettings(longest=_LONGEST_PAUSE)
    return settings.model_copy(update={"sources": {_SOURCE: source}, "http": http, "retry": retry})


def _until_interrupted(daemon: Daemon) -> Callable[[], bool]:
    """Tells whether somebody asked for an end, which is done in good order; who asks again gets it at once."""
    asked = 0

    def on_signal() -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            daemon.stop()
            daemon.stop()

    stop_by_signals(on_signal)
    return lambda: asked > 0


def _affordable(seconds: float | None) -> int:
    """As long a day as the time surely suffices for, yet one in which every situation comes up."""
    if seconds is None:
        return DEMO_ACTIONS
    return min(DEMO_ACTIONS, max(_SHORTEST_DAY, round(seconds * _ACTIONS_A_SECOND)))


def _look_inside(settings: Settings, place: Place) -> str:
    words = [str(Path(sys.argv[0])) if Path(sys.argv[0]).name == "wikimirror" else "wikimirror", "sql"]
    if not place.embedded:
        words += ["--postgres", "URL"]
    if settings.postgres.schema_name != DATABASE:
        words += ["--schema", settings.postgres.schema_name]
    return " ".join([*words, '"SELECT state, count(*) FROM page GROUP BY state"'])
