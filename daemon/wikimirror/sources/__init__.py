"""Where records come from. `base` is the contract; `recording` reads captures from files."""

from __future__ import annotations

from wikimirror.sources.base import LiveSource, Positions, Source, lane_of, position_after
from wikimirror.sources.recording import Recording

__all__ = ["LiveSource", "Positions", "Recording", "Source", "lane_of", "position_after"]
