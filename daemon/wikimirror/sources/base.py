"""The contract of a source: an endless or finite stream of records, each with its coordinates.

A source reads; it does not decode, decide or write. Where to start is told to it, for positions live in Postgres
(promise P1); what it is told afterwards is advisory.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol

from wikimirror.model import Coordinates, Lane, Record

Positions = Mapping[Lane, int]
"""For each lane the offset of the next record to read, not of the last one read."""


def lane_of(at: Coordinates) -> Lane:
    """The lane that a record was read on."""
    return Lane(at.source, at.topic, at.partition)


def position_after(at: Coordinates) -> int:
    """The position once the record at these coordinates is done."""
    return at.offset + 1


class Source(Protocol):
    """Something that records come from."""

    @property
    def name(self) -> str:
        """The source's name, as in coordinates, settings and the `source` column."""
        ...

    def read(self, positions: Positions) -> AsyncGenerator[Record]:
        """Yield records in order of offset within each lane, from its position on where one is given.

        It holds no more than the record it yields and one bounded read ahead. It ends when the source has
        an end; it raises an error of `wikimirror.errors` when reading cannot go on, after everything read before.
        Closing it (`aclose`) stops the reading.
        """
        ...

    async def acknowledge(self, positions: Positions) -> None:
        """Take note that everything before these positions is durable. Advisory: it may be lost or do nothing."""
        ...
