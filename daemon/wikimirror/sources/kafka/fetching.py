"""How much to ask the brokers for at once, from the memory there is and what is assigned. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

_SHARE: Final = 8
"""The part of a source's memory that answers may take. For a moment an answer lies in memory up to three times: as it
comes in, as it is cut into partitions, and as it is decompressed. The rest is for what waits to be applied."""
_LEAST: Final = 256 * 1024
"""Bytes. Smaller answers cost more in round trips than they spare."""
_MOST: Final = 8 * 1024 * 1024
_FAIRNESS: Final = 4
"""An answer has room for so many partitions, so that one with a long backlog does not shut the others out."""


class FetchSizes(NamedTuple):
    """In bytes. Kafka sends a larger batch all the same, if it comes first: else its reader would stand still."""

    answer: int
    """The most that one broker may send in one answer."""
    partition: int
    """The most of it that is of one partition."""


def fetch_sizes(memory: int, partitions: int, brokers: int) -> FetchSizes:
    """The sizes for a source that has `memory` bytes, with so many partitions, which so many brokers lead."""
    answer = min(_MOST, max(_LEAST, memory // _SHARE // max(1, brokers)))
    return FetchSizes(answer, answer if partitions <= 1 else max(_LEAST, answer // min(_FAIRNESS, partitions)))
