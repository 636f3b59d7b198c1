"""A lane with all that is known about it, and what can be read off that without judging. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from wikimirror.mirror.activity import OurSession, Server
from wikimirror.mirror.evict import name_of
from wikimirror.mirror.facts import LaneTold, LeaseTold, MemberTold
from wikimirror.mirror.members import GONE
from wikimirror.observe.health import State
from wikimirror.observe.withhold import mask_secrets

_SAID: Final = 300
"""Characters of a reason that are repeated."""
_WAITS: Final = re.compile(
    r"\b(database|lease|source) for (\d+) s(?:, attempts failed: \d+, the last: (.*?))?"
    r"(?=; (?:database|lease|source) for \d+ s|$)"
)
"""As `observe.health` puts it."""
_BY_BLAME: Final = ("database", "lease", "source")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From when on what is so is blamed. Seconds, and a share of 1."""

    gone: float = GONE
    recent: float = 15.0
    """Whoever told of itself less long ago is at work, whatever its lease says."""
    blocked: float = 5.0
    """A wait for a lock that is this long holds a lane back. Shorter ones belong to writing."""
    share: float = 0.5
    """A stage that takes this share of the time is the narrow one."""
    headroom: float = 6 * 3600.0
    """Of what the source still holds. Half of its retention, where that is less."""
    old: float = 300.0
    """A transaction this old keeps vacuum from its work."""


@dataclass(frozen=True, slots=True)
class Case:
    """A lane with all that is known about it; or a source without lanes."""

    source: str
    lane: LaneTold | None
    lease: LeaseTold | None
    owner: MemberTold | None
    """The process that reads it, or last did."""
    live: tuple[MemberTold, ...]
    """The processes that follow the source now."""
    server: Server | None
    thresholds: Thresholds

    @property
    def fresh(self) -> LaneTold | None:
        """The lane, where it was told of lately."""
        return self.lane if self.lane is not None and self.lane.unseen <= self.thresholds.gone else None

    @property
    def sessions(self) -> list[OurSession]:
        """The sessions of its process, and of its writer, where Postgres shows them."""
        names = {name_of(name) for name in (self.holder, self.lane and self.lane.writer) if name}
        return [each for each in self.server.sessions if each.application in names] if self.server is not None else []

    @property
    def owner_lives(self) -> bool:
        """Whether its process told of itself lately."""
        return self.owner in self.live

    @property
    def holder(self) -> str | None:
        """The name of its process."""
        if self.lease is not None:
            return self.lease.holder
        return self.lane.holder if self.lane is not None else self.owner.holder if self.owner is not None else None


class Wait(NamedTuple):
    """What a lane waits for."""

    what: str
    """source, database or lease."""
    seconds: float | None
    reason: str


def wait_of(case: Case) -> Wait | None:
    """What it waits for now, as its process told; of several what is to blame first."""
    found: dict[str, Wait] = {}
    owner, lane = case.owner, case.fresh
    if owner is not None and owner.state == State.WAITING and case.owner_lives:
        why = owner.why or ""
        for match in _WAITS.finditer(" ".join(why.split())):
            found[match[1]] = Wait(match[1], float(match[2]), reason_of(match[3]))
        if not found:
            found["source"] = Wait("source", None, reason_of(why))
    if lane is not None and (what := lane.evidence.get("waiting_for")):
        reason = reason_of(lane.evidence.get("waiting_reason"))
        found[what] = Wait(what, number(lane.evidence, "waiting_seconds"), reason)
    return next((found[what] for what in _BY_BLAME if what in found), None)


def blocked_session(case: Case) -> OurSession | None:
    """The session of its writer that has waited for a lock for longest."""
    waiting = [each for each in case.sessions if each.blocked_by]
    return max(waiting, key=lambda each: each.blocked_seconds or 0.0, default=None)


def reason_of(text: object) -> str:
    """Words of a process about itself, without secrets and on one line."""
    return mask_secrets(" ".join(str(text or "").split()))[:_SAID]


def number(evidence: Mapping[str, Any], key: str) -> float | None:
    """A number of the evidence, if it is known."""
    value = evidence.get(key)
    return float(value) if isinstance(value, (int, float)) else None
