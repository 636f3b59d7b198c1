"""No more than so many records a second."""

from __future__ import annotations

from typing import Final

_BURST: Final = 1.0
"""Seconds. What was not read for so long, while a batch was applied, may be made up for; nothing older is."""
_SHORTEST: Final = 0.01
"""Seconds. A shorter pause is not kept exactly by any machine: it waits until there is more of it."""


class Rate:
    """Tokens that come at an even rate, one for each record. It begins without any."""

    def __init__(self, per_second: float, now: float) -> None:
        """`per_second` 0: any number. `now`, here and below: seconds of a clock that never steps."""
        self._each = 1 / per_second if per_second else 0.0
        self._next = now
        """When the next record may be read."""

    def pause(self, now: float) -> float:
        """Take a token; the seconds to wait before the next record is read."""
        if not self._each:
            return 0.0
        self._next = max(self._next, now - _BURST) + self._each
        ahead = self._next - now
        return ahead if ahead >= _SHORTEST else 0.0
