"""Recorded captures as a source: a file's records, numbered from 0, under the file's name.

Coordinates are the file's own even where a record brings those it had on the wire. Which changes the records make
does not depend on the file: see `wire.dialect.identity`.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from wikimirror.errors import ConfigurationError
from wikimirror.model import Coordinates, Lane, Position, Record
from wikimirror.sources.base import Positions
from wikimirror.sources.capture import Capture
from wikimirror.sources.gzipped import BrokenGzip, chunks
from wikimirror.wire import CAPTURE, RECORD_BYTES

_AHEAD_RECORDS: Final = 512
_AHEAD_BYTES: Final = 2**20


class Recording:
    """One capture file: NDJSON, server-sent events or JSON, plain or gzipped, recognised by content."""

    def __init__(
        self,
        path: Path,
        received: Callable[[], int],
        *,
        topic: str | None = None,
        max_bytes: int = RECORD_BYTES,
    ) -> None:
        """Name the file; nothing is opened yet.

        `received` gives the time of receipt of each record, in microseconds since the epoch. `topic` is the file's
        name unless set: two files of one name need two topics where their coordinates must differ. A record larger
        than twice `max_bytes` is cut to just that and a byte, for the decoder to refuse as too large.
        """
        self._path = path
        self._received = received
        # A record wrapped as a string of JSON is longer in the file than it is itself.
        self._limit = 2 * max_bytes
        self.partition = Lane(CAPTURE, path.name if topic is None else topic, 0)

    @property
    def name(self) -> str:
        """The source of every capture."""
        return CAPTURE

    def require_readable(self) -> None:
        """Tell at once, without opening the file, why it cannot be read. Raises ConfigurationError."""
        try:
            mode = self._path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError, ValueError):
            raise self._unusable("there is no such file", "Check the path.") from None
        except OSError as failure:
            raise self._unusable(f"{failure.strerror}", "Check the path and the rights to it.") from failure
        if stat.S_ISDIR(mode):
            raise self._unusable("it is a directory", "Name the files in it.")
        if not os.access(self._path, os.R_OK):
            raise self._unusable("it may not be read", "Give this user the right to read it.")

    def records(self, position: int = 0) -> Generator[Record]:
        """Yield the file's records from `position` on. Raises ConfigurationError after all that could be read."""
        topic, received = self.partition.topic, self._received
        for offset, value in enumerate(self._values()):
            if offset >= position:
                yield Record(Coordinates(CAPTURE, topic, 0, offset), value, received())

    async def read(self, positions: Positions) -> AsyncGenerator[Record]:
        """Yield the records without blocking the event loop, reading at most one bounded batch ahead."""
        with closing(self.records(positions.get(self.partition, Position(0)).offset)) as records:
            while True:
                pull = asyncio.ensure_future(asyncio.to_thread(_pull, records))
                try:
                    batch, failure = await asyncio.shield(pull)
                except asyncio.CancelledError:
                    # The thread still runs the generator; it can be closed only after.
                    await asyncio.wait({pull})
                    raise
                for record in batch:
                    yield record
                if failure is not None:
                    raise failure
                if not batch:
                    return

    async def acknowledge(self, positions: Positions) -> None:
        """Do nothing: a file keeps no account of its readers."""

    def _values(self) -> Iterator[bytes]:
        self.require_readable()
        capture, done = Capture(self._limit), 0
        try:
            with self._path.open("rb") as file:
                for chunk in chunks(file):
                    for value in capture.feed(chunk):
                        yield value
                        done += 1
                yield from capture.close()
        except BrokenGzip as broken:
            remedy = "Get the file again. What was read is good, and reading it again changes nothing."
            raise self._unusable(f"{broken}, after {done} whole records", remedy) from None
        except OSError as failure:
            what = f"reading failed after {done} records: {failure.strerror}"
            raise self._unusable(what, "Check the file and the disk it lies on.") from failure

    def _unusable(self, what: str, remedy: str) -> ConfigurationError:
        return ConfigurationError(f"The capture {self._path} cannot be used: {what}.", remedy=remedy)


def _pull(records: Iterator[Record]) -> tuple[list[Record], Exception | None]:
    """Take the next records, up to a bounded number and size; a failure comes with what was read before it."""
    batch: list[Record] = []
    size = 0
    try:
        for record in records:
            batch.append(record)
            size += len(record.value or b"")
            if len(batch) >= _AHEAD_RECORDS or size >= _AHEAD_BYTES:
                break
    except ConfigurationError as failure:
        return batch, failure
    return batch, None
