"""P2: the registers give the rows of the definition, whatever the order, the batches and the repetitions."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.merge.histories import Shape, history, laws
from tests.merge.memory import Tables
from wikimirror.merge.fold import fold
from wikimirror.merge.law import Law
from wikimirror.model import Change, Clock

SHAPES = st.builds(
    Shape,
    changes=st.integers(1, 16),
    pages=st.integers(1, 3),
    revisions=st.integers(1, 5),
    span=st.integers(1, 14),
    spread=st.sampled_from((1, 20, 100)),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Change]:
    """A set of changes in some order, with two of the clocks or all three."""
    shape, seed = draw(SHAPES), draw(st.integers(0, 2**32))
    changes = history(random.Random(seed), "wiki", shape)
    note(f"{shape}, seed {seed}")
    if draw(st.booleans()):
        changes = [change for change in changes if change.clock is not Clock.PROCESSING]
    return draw(st.permutations(changes))


@st.composite
def readings(draw: st.DrawFn, changes: list[Change]) -> list[list[Change]]:
    """One way of reading them: some twice, in an order of its own, in batches of any size."""
    again = draw(st.lists(st.sampled_from(changes), max_size=4)) if changes else []
    order = draw(st.permutations([*changes, *again]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=6))) if order else []
    return [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True) if start < end]


@given(st.data(), st.sampled_from(laws()))
@settings(max_examples=400, deadline=None)
def test_any_reading_of_any_history_gives_the_rows_of_the_definition(data: st.DataObject, law: Law) -> None:
    changes = data.draw(histories())
    tables = Tables(law)
    for batch in data.draw(readings(changes)):
        tables.apply(batch)
    assert tables.mirror() == fold(changes, law)


@given(st.data(), st.sampled_from(laws()))
@settings(max_examples=200, deadline=None)
def test_applying_everything_again_alters_no_row_and_is_refused_change_by_change(data: st.DataObject, law: Law) -> None:
    changes = data.draw(histories())
    tables = Tables(law)
    for batch in data.draw(readings(changes)):
        tables.apply(batch)
    stored = (dict(tables.pages), dict(tables.revisions), dict(tables.bodies))
    for batch in data.draw(readings(changes)):
        assert None not in tables.apply(batch)
    assert (tables.pages, tables.revisions, tables.bodies) == stored


@given(st.data(), st.sampled_from(laws()))
@settings(max_examples=100, deadline=None)
def test_two_orders_leave_the_same_registers_and_the_same_pages_to_ask_about(data: st.DataObject, law: Law) -> None:
    changes = data.draw(histories())
    one, other = Tables(law), Tables(law)
    for tables in (one, other):
        for batch in data.draw(readings(changes)):
            tables.apply(batch)
    assert one.mirror() == other.mirror()
    # Whatever comes next finds the same, for a full reading of the rest is told by the same registers.
    more = history(random.Random(data.draw(st.integers(0, 2**32))), "wiki", Shape(changes=3))
    more = [change for change in more if change.identity not in {c.identity for c in changes}]
    for tables in (one, other):
        tables.apply(more)
    assert one.mirror() == other.mirror() == fold([*changes, *more], law)


def test_the_generated_histories_bring_every_kind_and_every_collision_about() -> None:
    kinds, states, hidden = Counter[str](), Counter[str | None](), 0
    for seed in range(150):
        changes = history(random.Random(seed), "wiki", Shape())
        mirror = fold(changes, Law())
        kinds.update(change.kind.value for change in changes)
        states.update(page.state for page in mirror.pages.values())
        hidden += sum(not row.content_visible for row in mirror.revisions.values())
    assert len(kinds) == 11
    assert all(states[state] >= 5 for state in ("live", "deleted", "vacated")), states
    assert hidden >= 100
