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
_ENOUGH: Final = 800
"""Records of a connection before trouble begins: more than are read again after a connection was lost."""
_TROUBLES: Final = (
    (0.15, Faults(cut=Cut.MID_RECORD, cut_after=_ENOUGH)),
    (0.20, Faults(answer=Answer.UNAVAILABLE)),
    (0.30, NO_FAULTS),
    (0.45, Faults(error_after=_ENOUGH)),
    (0.50, NO_FAULTS),
    (0.55, Faults(connections=0, cut_after=0)),
    (0.57, NO_FAULTS),
    (0.70, Faults(duplicate_every=50)),
    (0.90, NO_FAULTS),
)
"""From which share of the day on how the service misbehaves."""
_SLOW: Final = (0.30, 0.36)
"""Between these shares the service sends more slowly than records are published."""
_SLOWNESS: Final = 0.7


async def misbehave(server: EventStreamsServer, seconds: float, rate: float, redacted: AbstractSet[Page]) -> None:
    """Let a server go through the troubles of a day that is published over so many seconds at so many records each.

    The edge redacts all the time, and connections end every now and then.
    """
    always = Faults(redacted=frozenset(redacted), cut_seconds=max(0.5, seconds * _CUT_EVERY))
    server.faults = always
    clock = asyncio.get_running_loop().time
    begun = clock()
    slow = Faults(records_a_second=max(1.0, rate * _SLOWNESS))
    planned = sorted([*_TROUBLES, (_SLOW[0], slow), (_SLOW[1], NO_FAULTS)], key=lambda each: each[0])
    for share, faults in planned:
        await asyncio.sleep(max(0.0, begun + share * seconds - clock()))
        # Slow and cut every moment, it would never get past what is read again.
        cut_seconds = None if faults is slow else always.cut_seconds
        server.faults = replace(faults, redacted=always.redacted, cut_seconds=cut_seconds)


def told(counts: Counts) -> dict[str, int]:
    """What a server did, by words for a person."""
    return {
        "requests": counts.requests,
        "connections ended": counts.cuts,
        **{f"answered {status}": number for status, number in sorted(counts.refused.items())},
        "times throttled": counts.throttled,
        "records without their editor": counts.redacted,
    }
