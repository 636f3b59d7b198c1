"""Where records come from: `base` is the contract, `recording` reads captures, `eventstreams` the public streams."""

from __future__ import annotations

from wikimirror.sources.base import LiveSource, Positions, Source, lane_of, position_after
from wikimirror.sources.eventstreams import EventStreams
from wikimirror.sources.http import HttpClient
from wikimirror.sources.recording import Recording

__all__ = [
    "EventStreams",
    "HttpClient",
    "LiveSource",
    "Positions",
    "Recording",
    "Source",
    "lane_of",
    "position_after",
]
