"""How numbers of rounds are told in tables."""

from __future__ import annotations

from collections.abc import Iterable


def whole(numbers: Iterable[float]) -> str:
    """Each without decimals, with commas between thousands, spaces between them."""
    return " ".join(f"{number:,.0f}" for number in numbers)
