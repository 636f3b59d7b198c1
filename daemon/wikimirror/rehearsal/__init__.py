"""A small upstream for demos, tests and benchmarks: simulated wikis with a truth of their own.

Independent of what it tests: nothing here imports the merge law, the decoders, the mirror or the pipeline.
"""

from __future__ import annotations

from wikimirror.rehearsal.arrivals import Arrival
from wikimirror.rehearsal.day import OUTSIDE, WIKIS
from wikimirror.rehearsal.simulation import Day, day_to_ndjson, simulate_day
from wikimirror.rehearsal.situations import Situation
from wikimirror.rehearsal.truth import TrueBody, TruePage, TrueRevision, Truth

__all__ = [
    "OUTSIDE",
    "WIKIS",
    "Arrival",
    "Day",
    "Situation",
    "TrueBody",
    "TruePage",
    "TrueRevision",
    "Truth",
    "day_to_ndjson",
    "simulate_day",
]
