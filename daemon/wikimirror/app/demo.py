"""The demo: a simulated wiki's day, the daemon that follows it, and the comparison of the two."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, Literal

from wikimirror.app.demo_eventstreams import follow_eventstreams
from wikimirror.app.operating import operating
from wikimirror.app.places import (
    DATABASE,
    DEMO_SCHEMA,
    Place,
    empty,
    find_place,
    in_schema,
    refuse_mirror,
    upgrade,
)
from wikimirror.app.rehearsing import Followed, Rehearsal
from wikimirror.app.running import run_to_end
from wikimirror.mirror.connect import Session
from wikimirror.ops.compare import Expected, compare
from wikimirror.ops.reports import DemoReport, OnProgress
from wikimirror.rehearsal import WIKIS, Day, Truth, simulate_day
from wikimirror.settings import ScopeSettings, Settings

DemoSource = Literal["eventstreams", "kafka"]
"""By what the simulated wiki publishes."""
DEMO_ACTIONS: Final = 20_000
"""What happens in the simulated wikis in a demo, unless told otherwise."""
_ACTIONS_PUBLISHED_A_SECOND: Final = 1_000
"""Unless --for tells otherwise."""
_SHORTEST_DAY: Final = 1_200
_ACTIONS_A_SECOND: Final = 300
"""A tenth of what an ordinary machine simulates, applies and compares."""
_PUBLISHING: Final = 0.5
"""The share of the time given that the day takes to be published; the rest is for simulating and comparing."""
_BROKER: Final = 10.0
"""Seconds that a broker takes to be started, restarted and stopped."""


def demo(
    settings: Settings,
    source: DemoSource,
    *,
    seconds: float | None,
    seed: int | None,
    actions: int | None,
    on_progress: OnProgress,
) -> DemoReport:
    """Follow a simulated wiki's day into an empty mirror and compare the two. Ctrl-C: the rest of the day at once.

    Raises ConfigurationError where `source` needs what is not on this machine.
    """
    # The day's own wikis are its scope: some of its records come from another one.
    settings = settings.model_copy(update={"scope": ScopeSettings(wikis=WIKIS)})
    if settings.postgres.url is None and settings.postgres.schema_name == DATABASE:
        settings = in_schema(settings, DEMO_SCHEMA)
    chosen = secrets.randbelow(2**31) if seed is None else seed
    follow = _follower(source)
    overhead = _BROKER if source == "kafka" else 0.0

    async def work() -> DemoReport:
        async with find_place(settings) as place:
            await (empty(settings, place) if place.embedded else refuse_mirror(settings, place))
            await upgrade(settings, place)
            count = actions or _affordable(seconds)
            day = await asyncio.to_thread(simulate_day, chosen, count, out_of_scope=True)
            pace = count / _ACTIONS_PUBLISHED_A_SECOND if seconds is None else (seconds - overhead) * _PUBLISHING
            async with operating(settings, place, "demo", {"source": source, "seed": chosen}) as operation:
                did = await follow(Rehearsal(settings, place, day, max(1.0, pace), on_progress))
                return await _report(settings, place, operation.session, day, chosen, did)

    return run_to_end(work())


def _follower(source: DemoSource) -> Callable[[Rehearsal], Coroutine[Any, Any, Followed]]:
    if source == "eventstreams":
        return follow_eventstreams
    from wikimirror.app.demo_kafka import follow_kafka, require_kafka  # noqa: PLC0415  # the other needs no Kafka client

    require_kafka()
    return follow_kafka


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


async def _report(settings: Settings, place: Place, session: Session, day: Day, seed: int, did: Followed) -> DemoReport:
    comparison = await compare(session, expected_of(settings, did.truth))
    return DemoReport(
        play=did.play,
        freshness=did.freshness,
        upstream=did.upstream,
        situations={situation.value: count for situation, count in day.situations.items()},
        compared=comparison.compared,
        differences=comparison.differences,
        waiting=comparison.waiting,
        withholding=comparison.withholding,
        forbidden_found=comparison.forbidden_found,
        look_inside=_look_inside(settings, place),
        seed=seed,
    )


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
