"""The suite's variable says what it means, or the suite fails."""

from __future__ import annotations

import pytest

from tests.live.budget import KILLS, ROUND, USUAL, read_kills, rounds


def test_without_the_variable_it_is_the_usual_number() -> None:
    assert read_kills({}) == read_kills({KILLS: ""}) == USUAL
    assert rounds(USUAL) == [ROUND]


def test_the_variable_chooses_the_kills_and_each_round_has_its_share() -> None:
    assert read_kills({KILLS: "500"}) == 500
    assert rounds(500) == [ROUND] * 20
    assert rounds(ROUND + 5) == [ROUND, 5]


@pytest.mark.parametrize("value", ["many", "0", "-5", "1.5"])
def test_a_malformed_value_fails_and_is_named(value: str) -> None:
    with pytest.raises(ValueError, match=KILLS):
        read_kills({KILLS: value})
