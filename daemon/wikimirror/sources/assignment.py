"""What a group gives one of its processes to read, and how it takes that back."""

from __future__ import annotations

import asyncio

from wikimirror.model import Lane


class Assignment:
    """Lanes that this process is to read until they are revoked. For one event loop.

    Whoever reads and writes them watches `revoked`, comes to an end and then calls `release`; whoever took them back
    waits for that, and no longer than it can.
    """

    def __init__(self, lanes: tuple[Lane, ...]) -> None:
        self.lanes = lanes
        self.revoked = asyncio.Event()
        """They are to be given up: what was read is to be applied first, if there is time."""
        self.lost = asyncio.Event()
        """They were taken away, or time is up: stop where it stands. `revoked` is set too."""
        self._released = asyncio.Event()

    def revoke(self) -> None:
        """Ask for them back."""
        self.revoked.set()

    def lose(self) -> None:
        """Tell that others may have them by now."""
        self.lost.set()
        self.revoked.set()

    def release(self) -> None:
        """Nothing of this process reads or writes them any more."""
        self._released.set()

    async def released(self) -> None:
        """Wait for `release`."""
        await self._released.wait()
