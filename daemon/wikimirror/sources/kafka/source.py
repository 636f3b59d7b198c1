"""Kafka as a source: topics whose partitions the processes of a group share among them.

Positions come from Postgres (promise P1); the group's own are told to it for whoever watches them, and never read.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

from wikimirror.model import Lost, Record
from wikimirror.observe.vitals import Vitals
from wikimirror.settings import KafkaSettings
from wikimirror.sources.base import Positions
from wikimirror.sources.kafka.membership import KafkaMembership, stay
from wikimirror.sources.kafka.reading import read


class KafkaSource:
    """Topics of one cluster, read as a member of a group. One stay and one `read` at a time."""

    def __init__(
        self,
        name: str,
        settings: Callable[[], KafkaSettings],
        vitals: Vitals,
        now: Callable[[], int],
        *,
        memory: int,
    ) -> None:
        """`settings` gives them as they are at each joining: a secret may have changed since. `now` gives microseconds
        since the epoch; `memory` is what this source may hold, in bytes (promise P6).
        """
        self._name = name
        self._settings = settings
        self._vitals = vitals
        self._now = now
        self._memory = memory
        self._member: KafkaMembership | None = None
        self._displaced = False

    @property
    def name(self) -> str:
        """The source's name, as in settings."""
        return self._name

    @asynccontextmanager
    async def join(self) -> AsyncIterator[KafkaMembership]:
        """Enter the group until the block is left. Raises ConfigurationError, SourceUnavailable, SourceRefused."""
        joining = stay(self._name, self._settings(), self._memory, self._vitals, displaced=self._displaced)
        async with joining as member:
            self._member = member
            try:
                yield member
            finally:
                self._member = None
                self._displaced = member.displaced

    def read(self, positions: Positions) -> AsyncGenerator[Record | Lost]:
        """Yield the records of these lanes, which must be assigned, until it is closed.

        Raises SourceUnavailable when the brokers do not answer, when what they answer cannot be read, and when the stay
        in the group is over; SourceRefused when they refuse. What is held beyond the record yielded: one answer of each
        broker, and a slice of it.
        """
        return read(self._member, positions, self._vitals, self._now)

    async def acknowledge(self, positions: Positions) -> None:
        """Take note; the group is told every `acknowledge_interval`."""
        if self._member is not None:
            self._member.upkeep.take_note(positions)
