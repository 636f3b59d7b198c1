"""The closed sets that labels take their values from. Never a page, a title or a user: those are neither few nor ours.

A value of no set becomes `other`. So sums add up (promise P4), and a series that nobody foresaw cannot multiply.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

from wikimirror.merge.refusals import Refusal
from wikimirror.model import Kind
from wikimirror.observe.health import State
from wikimirror.observe.lanes import LaneState
from wikimirror.observe.vitals import Role, Waiting
from wikimirror.wire import Reason

OTHER: Final = "other"


class Closed(NamedTuple):
    """The values of a label."""

    values: tuple[str, ...]
    """Each is always exported, so that a first occurrence is seen as an increase."""
    also: re.Pattern[str] | None = None
    """Further values: many, but a finite number."""

    def value(self, said: str) -> str:
        """The label's value for what was counted under `said`."""
        known = said in self.values or (self.also is not None and self.also.fullmatch(said) is not None)
        return str(said) if known else OTHER

    def counts(self, counted: Mapping[str, int]) -> Mapping[str, int]:
        """What was counted, by the label's values. The sum is the same."""
        found = Counter(dict.fromkeys(self.values, 0))
        for said, count in counted.items():
            found[self.value(said)] += count
        return found


KIND: Final = Closed(tuple(Kind))
REFUSAL: Final = Closed(tuple(Refusal))
IGNORED: Final = Closed(("canary", "null", "out_of_scope"))
SET_ASIDE: Final = Closed(tuple(Reason), also=re.compile(r"sqlstate_(?:22|23|54)[0-9A-Z]{3}"))
"""Why a record cannot be read, or Postgres's code of why it cannot be written (`mirror.apply.is_about_data`)."""
RECONCILE: Final = Closed(
    (
        "losing_child",
        "merged",
        "refused_after_deletion",
        "restored",
        "restored_revision",
        "set_aside",
        "unknown_parent",
        "vacated",
        "withheld",
    )
)
DISCONNECT: Final = Closed(
    (
        "cut",
        "ended",
        "error_frame",
        "idle",
        "not_a_stream",
        "refused",
        "stopped",
        "throttled",
        "unavailable",
        "unreachable",
    )
)
"""`sources.http.Ending`, which is not to be imported from here; a test compares."""
WAITING: Final = Closed(tuple(Waiting))
ROLE: Final = Closed(tuple(Role))
STATE: Final = Closed(tuple(State))
LANE_STATE: Final = Closed(tuple(LaneState))
