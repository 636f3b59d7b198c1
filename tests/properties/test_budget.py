"""The suite's variables say what they mean, or the suite fails."""

from __future__ import annotations

import pytest

from tests.properties.budget import HISTORIES, SEED, USUAL, Budget, read_budget
from tests.properties.world import draw


def test_without_variables_it_is_the_usual_number_of_a_seed_by_chance() -> None:
    assert read_budget({}).histories == USUAL
    assert read_budget({}).seed != read_budget({}).seed


def test_the_variables_choose_number_seed_and_one_history() -> None:
    assert read_budget({HISTORIES: "50", SEED: "17"}) == Budget(50, 17)
    assert read_budget({SEED: "17/204"}) == Budget(USUAL, 17, 204)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (HISTORIES, "many"),
        (HISTORIES, "0"),
        (HISTORIES, "-5"),
        (HISTORIES, "1.5"),
        (SEED, "x"),
        (SEED, "-1"),
        (SEED, "1/"),
    ],
)
def test_a_malformed_value_fails_and_is_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        read_budget({name: value})


def test_a_seed_and_a_number_are_the_same_history_each_time() -> None:
    assert draw(17, 204) == draw(17, 204) != draw(18, 204)
    assert draw(17, 204).changes[0].page.wiki_id == "wiki204"
