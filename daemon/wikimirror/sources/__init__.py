"""Where records come from: `base` is the contract, `recording` reads captures, `eventstreams` the public streams, and
`kafka` topics of a company's own. `ranges` is the contract of reading a stretch of them again.
"""

from __future__ import annotations

from wikimirror.sources.assignment import Assignment
from wikimirror.sources.base import (
    GroupSource,
    LiveSource,
    Membership,
    Positions,
    Source,
    lane_of,
    position_after,
)
from wikimirror.sources.eventstreams import EventStreams
from wikimirror.sources.http import HttpClient
from wikimirror.sources.recording import Recording

__all__ = [
    "Assignment",
    "EventStreams",
    "GroupSource",
    "HttpClient",
    "LiveSource",
    "Membership",
    "Positions",
    "Recording",
    "Source",
    "lane_of",
    "position_after",
]
