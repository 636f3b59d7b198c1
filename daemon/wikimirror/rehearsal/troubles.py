"""What a served day has to go through, so that a demo shows it: what the public service does in a month, in seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

from wikimirror.rehearsal.eventstreams import EventStreamsServer
from wikimirror.rehearsal.faults import NO_FAULTS, Answer, Counts, Cut, Faults, Page

_CUT_EVERY: Final = 0.125
"""Share of the day after which each connection is ended, as the public service does after a quarter of an hour."""
_TROUBLES: Final = (
    (0.15, Faults(cut=Cut.MID_RECORD, cut_after=50)),
    (0.20, Faults(answer=Answer.UNAVAILABLE, answers=1, cut_after=0)),
    (0.30, Faults(records_a_second=400.0)),
    (0.45, Faults(error_after=100)),
    (0.55, Faults(connections=0)),
    (0.60, NO_FAULTS),
    (0.70, Faults(renumbered_by=1_000_000)),
    (0.75, Faults(renumbered_by=1_000_000, cut_after=200)),
    (0.80, Faults(duplicate_every=50)),
    (0.90, NO_FAULTS),
)
"""From which share of the day on how the service misbehaves."""


async def misbehave(server: EventStreamsServer, seconds: float, redacted: AbstractSet[Page]) -> None:
    """Let a server go through the troubles of a day that lasts so long. The edge redacts all the time."""
    always = Faults(redacted=frozenset(redacted), cut_seconds=max(0.5, seconds * _CUT_EVERY))
    server.faults = always
    clock = asyncio.get_running_loop().time
    begun = clock()
    for share, faults in _TROUBLES:
        await asyncio.sleep(max(0.0, begun + share * seconds - clock()))
        server.faults = replace(faults, redacted=always.redacted, cut_seconds=always.cut_seconds)


def told(counts: Counts) -> dict[str, int]:
    """What a server did, by words for a person."""
    return {
        "requests": counts.requests,
        "connections ended": counts.cuts,
        **{f"answered {status}": number for status, number in sorted(counts.refused.items())},
        "times throttled": counts.throttled,
        "records without their editor": counts.redacted,
    }
