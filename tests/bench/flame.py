"""A flame graph as SVG from the stacks that a sampling profiler saw."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

WIDTH: Final = 1200.0
_ROW: Final = 16
_TOP: Final = 34
_CHARACTER: Final = 6.6
_LEAST: Final = 1.5
"""Narrower frames are left out: nobody can see them."""
_HUES: Final = {"wikimirror/wire": 205, "wikimirror/merge": 265, "wikimirror": 140, "asyncpg": 25, "aiokafka": 45}
"""The first that a frame's path begins with."""
_REST: Final = 0
_LINE: Final = re.compile(r":\d+\)$")

Stack = tuple[str, ...]


@dataclass
class _Frame:
    samples: int = 0
    above: dict[str, _Frame] = field(default_factory=dict)


def stacks_of(raw: str) -> Counter[Stack]:
    """How often each stack was seen, outermost frame first: what `py-spy record --format raw` wrote."""
    stacks: Counter[Stack] = Counter()
    for line in raw.splitlines():
        told, _, count = line.rpartition(" ")
        stacks[tuple(told.split(";"))] += int(count)
    return stacks


def flame_graph(stacks: Counter[Stack], title: str) -> str:
    """The stacks as nested bars, the outermost at the top. A bar is as wide as it was often seen; hover to read."""
    root = _Frame()
    for stack, count in stacks.items():
        root.samples += count
        frame = root
        for told in stack:
            frame = frame.above.setdefault(_LINE.sub(")", told), _Frame())
            frame.samples += count
    bars = list(_bars(root, 0.0, 0, WIDTH / max(1, root.samples), root.samples))
    height = _TOP + _ROW * (1 + max((depth for depth, _ in bars), default=0))
    return "\n".join(
        (
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height}" font-family="monospace"'
                ' font-size="11">'
            ),
            '<rect width="100%" height="100%" fill="#fff"/>',
            f'<text x="4" y="20" font-size="14">{html.escape(title)}</text>',
            *(bar for _, bar in bars),
            "</svg>",
            "",
        )
    )


def _bars(frame: _Frame, left: float, depth: int, scale: float, total: int) -> Iterator[tuple[int, str]]:
    for name, above in sorted(frame.above.items()):
        width = above.samples * scale
        if width >= _LEAST:
            yield depth, _bar(name, left, depth, width, above.samples / total)
            yield from _bars(above, left, depth + 1, scale, total)
        left += width


def _bar(name: str, left: float, depth: int, width: float, share: float) -> str:
    place = name.rpartition("(")[2]
    hue = next((hue for prefix, hue in _HUES.items() if place.startswith(prefix)), _REST)
    colour = f"hsl({hue},{60 if hue else 0}%,{78 + depth % 2 * 5}%)"
    top, room = _TOP + depth * _ROW, int(width / _CHARACTER)
    told = f"{html.escape(name)}: {share:.1%}"
    text = f'<text x="{left + 2:.1f}" y="{top + 12}">{html.escape(name[: room - 1])}</text>' if room > 4 else ""
    bar = f'<rect x="{left:.1f}" y="{top}" width="{width - 0.3:.1f}" height="{_ROW - 1}" fill="{colour}"/>'
    return f"<g><title>{told}</title>{bar}{text}</g>"
