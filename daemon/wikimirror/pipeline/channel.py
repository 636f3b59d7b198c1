"""What joins the tasks of a pipeline: a budget in bytes, a channel of items, and a handover of one thing at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Generic, TypeVar

T = TypeVar("T")

OVERHEAD: Final = 1024
"""Bytes that a record in flight costs beyond its own and those of its texts: what holds them."""


class Budget:
    """Bytes that may be in flight between reading and applying (promise P6). One task takes, another gives back.

    What is larger than the whole budget passes alone: otherwise one large record would stop its lane for ever.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0
        self._room = asyncio.Event()

    def fits(self, size: int) -> bool:
        """Whether `size` more bytes may be taken now."""
        return self.taken == 0 or self.taken + size <= self.size

    async def room(self, size: int) -> None:
        """Wait until `size` more bytes may be taken. Nothing is reserved: it is for one taker."""
        while not self.fits(size):
            self._room.clear()
            await self._room.wait()

    def take(self, size: int) -> None:
        """Count bytes in."""
        self.taken += size

    def give(self, size: int) -> None:
        """Count bytes out, and wake whoever waits for room."""
        self.taken -= size
        self._room.set()


class Channel(Generic[T]):
    """Items in order from one task to another. It has no bound of its own: a `Budget` bounds what is in it."""

    def __init__(self, wake: asyncio.Event) -> None:
        """`wake` is set whenever there is something new to look at; the receiver clears it before it looks."""
        self._items: deque[T] = deque()
        self._wake = wake
        self.closed = False

    def __len__(self) -> int:
        return len(self._items)

    @property
    def head(self) -> T | None:
        """The next item, left where it is."""
        return self._items[0] if self._items else None

    def put(self, item: T) -> None:
        """Add an item."""
        self._items.append(item)
        self._wake.set()

    def get(self) -> T:
        """Take the next item; there must be one."""
        return self._items.popleft()

    def close(self) -> None:
        """There will be no more items. What is in it is still to be taken."""
        self.closed = True
        self._wake.set()


class Handover(Generic[T]):
    """Gives one thing at a time to a task that says when it wants one: nothing is queued in between.

    So what is put together while the receiver is at work grows by itself to what it then can take.
    """

    def __init__(self, wake: asyncio.Event) -> None:
        """`wake` is set when the receiver begins to want something."""
        self._wake = wake
        self._wanted: asyncio.Future[T | None] | None = None
        self._closed = False

    @property
    def wanted(self) -> bool:
        """Whether the receiver waits."""
        return self._wanted is not None and not self._wanted.done()

    def give(self, item: T) -> None:
        """Hand over; only while `wanted`."""
        assert self._wanted is not None  # noqa: S101  # the caller asked
        self._wanted.set_result(item)

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        if self.wanted and self._wanted is not None:
            self._wanted.set_result(None)

    async def take(self) -> T | None:
        """Wait for the next thing; None when nothing more will come."""
        if self._closed:
            return None
        self._wanted = asyncio.get_running_loop().create_future()
        self._wake.set()
        return await self._wanted
