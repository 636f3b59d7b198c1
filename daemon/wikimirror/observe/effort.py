"""What a pipeline spends its time on: applying, decoding, or waiting for the source to bring something."""

from __future__ import annotations

from typing import Final, NamedTuple


class Spent(NamedTuple):
    """Seconds so far. They may overlap: while one batch is applied, the next one is decoded."""

    applying: float = 0.0
    """From a batch's handing over to durable, waiting for Postgres included."""
    decoding: float = 0.0
    waiting: float = 0.0
    """With nothing to decode and nothing to apply: the source brings no more, or not faster. Reading itself, such as
    unpacking what a broker sent, counts here."""


_KINDS: Final = len(Spent._fields)
APPLYING, WAITING = Spent._fields.index("applying"), Spent._fields.index("waiting")
_DECODING: Final = Spent._fields.index("decoding")


class Effort:
    """Adds it up. Instants are monotonic; it is told of each batch and each breath, never of a record."""

    def __init__(self) -> None:
        self._spent = [0.0] * _KINDS
        self._since: list[float | None] = [None] * _KINDS

    def begin(self, kind: int, now: float) -> None:
        """Applying or waiting begins."""
        self._since[kind] = now

    def end(self, kind: int, now: float) -> None:
        """It ends, if it had begun."""
        since, self._since[kind] = self._since[kind], None
        if since is not None:
            self._spent[kind] += now - since

    def decoded(self, seconds: float) -> None:
        """So long was decoded without a pause."""
        self._spent[_DECODING] += seconds

    def stop(self, now: float) -> None:
        """Whatever had begun ends: the pipeline is over."""
        for kind in range(_KINDS):
            self.end(kind, now)

    def until(self, now: float) -> Spent:
        """What was spent until now, on what goes on included."""
        return Spent(
            *(
                spent if since is None else spent + max(0.0, now - since)
                for spent, since in zip(self._spent, self._since, strict=True)
            )
        )
