"""What the demos of all sources have in common: a day to follow, what came of it, and how a person ends it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final, NamedTuple

from wikimirror.app.live import stop_by_signals
from wikimirror.app.places import Place
from wikimirror.ops.reports import Freshness, OnProgress, PlayReport
from wikimirror.pipeline.daemon import Daemon
from wikimirror.rehearsal import Day, Truth
from wikimirror.settings import RetrySettings, Settings, SourceSettings

SOURCE: Final = "rehearsal"
"""The name of the source in a demo."""
_LONGEST_PAUSE: Final = timedelta(seconds=1)
"""Troubles of minutes take a moment here."""


class Rehearsal(NamedTuple):
    """A day that is to be followed into an empty mirror."""

    settings: Settings
    place: Place
    day: Day
    pace: float
    """Seconds that it takes to be published."""
    on_progress: OnProgress


class Followed(NamedTuple):
    """What came of it."""

    play: PlayReport
    freshness: Freshness | None
    upstream: dict[str, int]
    """What the simulated service did, by what it is called, and how often."""
    truth: Truth
    """What the mirror must show."""


def following(settings: Settings, source: SourceSettings) -> Settings:
    """The settings of a daemon that follows the simulated service."""
    return settings.model_copy(update={"sources": {SOURCE: source}, "retry": RetrySettings(longest=_LONGEST_PAUSE)})


def until_interrupted(daemon: Daemon) -> Callable[[], bool]:
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
