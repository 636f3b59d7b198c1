"""Which stretch of which lanes a replay reads, by what it was asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from wikimirror.errors import ConfigurationError, Refused
from wikimirror.mirror.gaps import Gap
from wikimirror.model import MICROSECONDS, Lane
from wikimirror.ops.bounds import bound_of
from wikimirror.ops.replaying.asked import Asked
from wikimirror.sources.ranges import Bound, Range
from wikimirror.wire import CAPTURE

_MARGIN: Final = MICROSECONDS
"""Read beyond both ends of a gap that is read by time: clocks of producers disagree, and reading twice is harmless."""


class Aim(NamedTuple):
    """What a source is asked to resolve."""

    source: str
    start: Bound
    end: Bound | None
    topics: Collection[str]
    partitions: Collection[int]


def aim_of(asked: Asked, gap: Gap | None, *, by_offset: Collection[str], now: int) -> Aim:
    """Where to read. `by_offset`: the sources that are read by offset; all others are by time. `now`: microseconds.

    Raises ConfigurationError where what was said does not fit together, Refused for a gap that is closed.
    """
    if asked.gap is not None:
        return _aim_at(gap, asked, by_offset=by_offset, now=now)
    source = asked.source or (CAPTURE if asked.files else None)
    if source is None:
        raise ConfigurationError("no source is named", remedy="Say --source NAME, or --file CAPTURE.")
    if asked.start is None and source != CAPTURE:
        raise ConfigurationError(
            "it is not said where to begin", remedy="Say --from with an offset, an instant, or 2h for two hours ago."
        )
    start = Bound(offset=0) if asked.start is None else bound_of(asked.start, now)
    end = None if asked.end is None else bound_of(asked.end, now)
    return Aim(source, start, end, asked.topics, asked.partitions)


def _aim_at(gap: Gap | None, asked: Asked, *, by_offset: Collection[str], now: int) -> Aim:
    if gap is None:
        raise ConfigurationError(f"there is no gap {asked.gap}", remedy="`wikimirror gaps` lists them.")
    if not gap.open:
        raise Refused(f"gap {gap.gap_id} is closed", remedy="To read its range again, say --from and --to.")
    if asked.narrowing:
        raise ConfigurationError(
            "a gap is filled whole, or it is not filled",
            remedy="Leave out --wiki, --page and --kind, or leave out --gap.",
        )
    source = asked.source or (CAPTURE if asked.files else gap.source)
    same = source == gap.source
    if same and (asked.topics or asked.partitions):
        raise ConfigurationError(
            f"gap {gap.gap_id} tells which lane it is of",
            remedy="Leave out --topic and --partition, or leave out --gap.",
        )
    if same and source in by_offset:
        known = _offset(gap.from_position), _offset(gap.to_position)
    else:
        # A gap found by offsets bears the same time at both ends: that of what was read last before it.
        ended = gap.to_time if gap.to_time != gap.from_time else None
        known = _time(gap.from_time, -_MARGIN), _time(ended, _MARGIN)
    start, end = (
        _chosen(option, said, bound, gap, now)
        for option, said, bound in (("--from", asked.start, known[0]), ("--to", asked.end, known[1]))
    )
    if same:
        return Aim(source, start, end, (gap.topic,), (gap.partition,))
    return Aim(source, start, end, asked.topics, asked.partitions)


def _chosen(option: str, said: str | None, known: Bound | None, gap: Gap, now: int) -> Bound:
    """What the gap tells, else what is said. Not both: a part of a gap would not fill it."""
    if said is not None and known is not None:
        raise ConfigurationError(
            f"gap {gap.gap_id} tells its own ends",
            remedy=f"Leave out {option}; to read another range, leave out --gap.",
        )
    if said is not None:
        return bound_of(said, now)
    if known is None:
        raise ConfigurationError(
            f"gap {gap.gap_id} does not tell its ends in the way that this source is read by",
            remedy=f"Say {option} as well; `wikimirror gaps` tells what is known of it.",
        )
    return known


def _offset(position: int | None) -> Bound | None:
    return None if position is None else Bound(offset=position)


def _time(time: int | None, margin: int) -> Bound | None:
    return None if time is None else Bound(time=time + margin)


def require_whole(ranges: Mapping[Lane, Range], aim: Aim) -> None:
    """Raises Refused for a gap that ends by an offset behind what the source holds: what was there is not what is."""
    if aim.end is None or aim.end.offset is None:
        return
    for lane, each in ranges.items():
        if each.end_offset is not None and each.end_offset < aim.end.offset:
            raise Refused(
                f"the gap ends at {aim.end.offset}, and {lane} has nothing after {each.end_offset}: its log is cut off"
                " or was made anew, and would not fill the gap",
                remedy="Fill it from another source or from captures. To read what is there, say --from and --to.",
            )


def require_something(ranges: Mapping[Lane, Range], source: str) -> None:
    """Raises ConfigurationError where nothing can be in the ranges."""
    if not ranges:
        raise ConfigurationError(f"{source} has no such lane", remedy="Look at --topic and --partition.")
    for lane, each in ranges.items():
        if each.end_offset is not None and each.end_offset < each.start.offset:
            raise ConfigurationError(
                f"the range of {lane} ends at {each.end_offset}, before it begins at {each.start.offset}",
                remedy="Look at --from and --to. A topic that was made anew numbers its records anew.",
            )
