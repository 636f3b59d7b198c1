"""A small upstream for demos, tests and benchmarks: simulated wikis with a truth of their own.

Independent of what it tests: nothing here imports the merge law, the decoders, the mirror or the pipeline.
"""

from __future__ import annotations

from wikimirror.rehearsal.arrivals import DATACENTRES, Arrival
from wikimirror.rehearsal.day import OUTSIDE, WIKIS
from wikimirror.rehearsal.eventstreams import EventStreamsServer
from wikimirror.rehearsal.faults import NO_FAULTS, Answer, Counts, Cut, Faults
from wikimirror.rehearsal.log import Entry, Log
from wikimirror.rehearsal.pacing import Publication
from wikimirror.rehearsal.publishing import publish, publish_canaries
from wikimirror.rehearsal.redaction import pages_to_redact, redacted_truth
from wikimirror.rehearsal.simulation import Day, day_to_ndjson, simulate_day
from wikimirror.rehearsal.situations import Situation
from wikimirror.rehearsal.streams import STREAMS
from wikimirror.rehearsal.troubles import misbehave, told
from wikimirror.rehearsal.truth import TrueBody, TruePage, TrueRevision, Truth

__all__ = [
    "DATACENTRES",
    "NO_FAULTS",
    "OUTSIDE",
    "STREAMS",
    "WIKIS",
    "Answer",
    "Arrival",
    "Counts",
    "Cut",
    "Day",
    "Entry",
    "EventStreamsServer",
    "Faults",
    "Log",
    "Publication",
    "Situation",
    "TrueBody",
    "TruePage",
    "TrueRevision",
    "Truth",
    "day_to_ndjson",
    "misbehave",
    "pages_to_redact",
    "publish",
    "publish_canaries",
    "redacted_truth",
    "simulate_day",
    "told",
]
