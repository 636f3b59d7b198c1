"""The contract of a source: an endless or finite stream of records, each with its coordinates.

A source reads; it does not decode, decide or write. Where to start is told to it, for positions live in Postgres
(promise P1); what it is told afterwards is advisory.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from wikimirror.model import Coordinates, Lane, Lost, Position, Record
from wikimirror.sources.assignment import Assignment

Positions = Mapping[Lane, Position]
"""For each lane the next record to read, not the last one read."""


def lane_of(at: Coordinates) -> Lane:
    """The lane that a record was read on."""
    return Lane(at.source, at.topic, at.partition)


def position_after(record: Record) -> Position:
    """The position once the record is done."""
    return Position(record.at.offset + 1, record.published)


class Source(Protocol):
    """Something that records come from."""

    @property
    def name(self) -> str:
        """The source's name, as in coordinates, settings and the `source` column."""
        ...

    def read(self, positions: Positions) -> AsyncGenerator[Record | Lost]:
        """Yield records in order of offset within each lane, from its position on where one is given.

        It holds no more than the record it yields and one bounded read ahead. It ends when the source has an end, or
        when a live one closes the connection in good order: whoever wants more reads again from the positions then
        reached. A `Lost` comes before the records that follow the loss, and reading goes on after it. It raises an
        error of `wikimirror.errors` when reading cannot go on, after everything read before. Closing it (`aclose`)
        stops the reading.
        """
        ...

    async def acknowledge(self, positions: Positions) -> None:
        """Take note that everything before these positions is durable. Advisory: it may be lost or do nothing."""
        ...


class LiveSource(Source, Protocol):
    """A source without an end, whose lanes one daemon at a time reads, by a lease."""

    async def starting_positions(self) -> Positions:
        """Where each lane starts that Postgres holds no position of, by the setting `start`. All lanes are named."""
        ...


class Membership(Protocol):
    """A stay in a group of processes that share a source's lanes among them."""

    async def assigned(self) -> Assignment:
        """Wait for the next lanes that the group gives this process; none of them where others have them all.

        The former assignment has been released by then. Raises SourceUnavailable when the stay is over and another one
        may go better, SourceRefused when the source refuses this process.
        """
        ...

    async def starting_positions(self, topics: Collection[str]) -> Positions:
        """Where each lane of topics starts that were never read, by the setting `start`.

        All lanes that the topics now have are named. Raises SourceUnavailable.
        """
        ...

    async def first_positions(self, lanes: Collection[Lane]) -> Positions:
        """The oldest that these lanes still hold: where a lane starts that came to a topic later.

        Raises SourceUnavailable.
        """
        ...


class GroupSource(Source, Protocol):
    """A source without an end, whose lanes are shared among the processes that follow it, by the source itself."""

    def join(self) -> AbstractAsyncContextManager[Membership]:
        """Enter the group, until the block is left. Meanwhile `read` reads the lanes assigned.

        Raises SourceUnavailable, SourceRefused. Leaving takes a bounded time.
        """
        ...
