"""A chart as SVG: measurements over a size, each one a dot, their medians joined."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

_WIDTH: Final = 720
_HEIGHT: Final = 360
_LEFT: Final = 80
_RIGHT: Final = 30
_TOP: Final = 50
_BOTTOM: Final = 60
_INK: Final = "#333"
_LINE: Final = "#1f6feb"


def chart(title: str, across: str, up: str, points: Mapping[int, Sequence[float]], *, tolerance: float) -> str:
    """`points`: by size, a power of ten, the measurements of each round. The band is so much of the first median."""
    sizes = sorted(points)
    medians = {size: statistics.median(points[size]) for size in sizes}
    highest = _round_up(1.15 * max(max(points[size]) for size in sizes))
    base = medians[sizes[0]]

    def x(size: int) -> float:
        span = math.log10(sizes[-1] / sizes[0]) or 1.0
        return _LEFT + 40 + (_WIDTH - _LEFT - _RIGHT - 80) * math.log10(size / sizes[0]) / span

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * min(value, highest) / highest

    upper, lower = y(base * (1 + tolerance)), y(base * (1 - tolerance))
    inner = _WIDTH - _LEFT - _RIGHT
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
            f' font-size="13" fill="{_INK}">'
        ),
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{_LEFT}" y="26" font-size="15">{escape(title)}</text>',
        (
            f'<rect x="{_LEFT}" y="{upper:.1f}" width="{inner}" height="{lower - upper:.1f}" fill="{_LINE}"'
            ' fill-opacity="0.1"/>'
        ),
        (
            f'<text x="{_WIDTH - _RIGHT}" y="{upper - 4:.1f}" text-anchor="end" font-size="11">'
            f"within {tolerance:.0%} of the first</text>"
        ),
    ]
    for step in range(5):
        value = highest * step / 4
        parts += [
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>',
            f'<text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:,.0f}</text>',
        ]
    for size in sizes:
        parts.append(f'<text x="{x(size):.1f}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">{size:,}</text>')
        parts += [f'<circle cx="{x(size):.1f}" cy="{y(each):.1f}" r="3" fill="{_LINE}"/>' for each in points[size]]
    line = " ".join(f"{x(size):.1f},{y(medians[size]):.1f}" for size in sizes)
    parts += [
        f'<polyline points="{line}" fill="none" stroke="{_LINE}" stroke-width="2"/>',
        f'<text x="{_LEFT + inner / 2}" y="{_HEIGHT - 14}" text-anchor="middle">{escape(across)}</text>',
        f'<text x="{_LEFT - 64}" y="{_TOP - 8}">{escape(up)}</text>',
        "</svg>",
        "",
    ]
    return "\n".join(parts)


def _round_up(value: float) -> float:
    """To two digits, such that quarters of it are round."""
    unit = 10 ** math.floor(math.log10(value))
    return float(math.ceil(value / unit * 2.5) / 2.5 * unit)
