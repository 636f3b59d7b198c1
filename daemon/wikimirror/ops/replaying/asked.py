"""What a replay is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

from wikimirror.model import Kind
from wikimirror.pipeline.narrowing import Narrowing

RATE: Final = 2000.0
"""Records a second: a daemon beside it keeps most of the database."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A replay as a person asks for it. Kept with its row, so that it can be resumed without saying it again."""

    source: str | None = None
    """None: that of the gap, or the captures'."""
    topics: tuple[str, ...] = ()
    partitions: tuple[int, ...] = ()
    start: str | None = None
    end: str | None = None
    """As `ops.bounds` reads them."""
    wikis: tuple[str, ...] = ()
    pages: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()
    rate: float = RATE
    """Records a second; 0: any number."""
    files: tuple[str, ...] = ()
    """Of captures."""
    gap: int | None = None

    @property
    def told(self) -> dict[str, object]:
        """What was asked for, without what was not."""
        return {name: value for name, value in asdict(self).items() if value not in (None, ())}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From what is kept."""
        known = {each.name for each in fields(cls)}
        kept: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items() if k in known}
        return cls(**kept)

    @property
    def narrowing(self) -> Narrowing:
        """What is let through."""
        return Narrowing(frozenset(self.wikis), frozenset(self.pages), frozenset(map(Kind, self.kinds)))
