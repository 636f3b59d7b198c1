"""The demo over HTTP: a simulated wiki served as the public service does, with its troubles, and one daemon."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from wikimirror.app.live import accounts_of, build_daemon, telemetry_of
from wikimirror.app.rehearsing import SOURCE, Followed, Rehearsal, following, until_interrupted
from wikimirror.ops.demo import Watch, follow_to_the_end
from wikimirror.rehearsal import (
    DATACENTRES,
    STREAMS,
    EventStreamsServer,
    Faults,
    Log,
    Publication,
    misbehave,
    pages_to_redact,
    publish,
    redacted_truth,
    told,
)
from wikimirror.settings import EventStreamsSettings, HttpSettings, Settings

_OVERLAP: Final = timedelta(milliseconds=250)
"""The simulated service's times rise: more would only be read again and again, so much of a day lies in a second."""


async def follow_eventstreams(rehearsal: Rehearsal) -> Followed:
    """Follow the day over HTTP to its end."""
    day, pace, settings = rehearsal.day, rehearsal.pace, rehearsal.settings
    log, redacted, watch = Log(), pages_to_redact(day), Watch()
    telemetry = telemetry_of(settings)
    async with AsyncExitStack() as opened:
        server = await opened.enter_async_context(EventStreamsServer(log, Faults(redacted=redacted)))
        daemon = build_daemon(_of(settings, server.url), rehearsal.place, telemetry, on_durable=watch.note)
        publication = publish(day, log, seconds=pace)
        opened.callback(publication.cancel)
        troubles = asyncio.create_task(misbehave(server, pace, len(day.arrivals) / pace, redacted))
        opened.callback(troubles.cancel)
        upstream = _Served(publication, log)
        wanted = until_interrupted(daemon)
        took = await follow_to_the_end(daemon, watch, upstream, rehearsal.on_progress, wanted)
        did = told(server.counts)
    play = accounts_of(telemetry.vitals[SOURCE], took)
    return Followed(play, watch.freshness, did, redacted_truth(day.truth, redacted))


class _Served(NamedTuple):
    """A day being published into a log, as ops.demo.Upstream."""

    publication: Publication
    log: Log

    @property
    def done(self) -> bool:
        if not self.publication.done:
            return False
        self.publication.result()
        return True

    @property
    def total(self) -> int:
        return self.publication.total

    @property
    def ends(self) -> dict[tuple[str, int], int]:
        return {(topic, 0): end for topic, end in self.log.ends.items()}

    def hurry(self) -> None:
        self.publication.hurry()


def _of(settings: Settings, url: str) -> Settings:
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
    return following(settings, source).model_copy(update={"http": http})
