"""The command line: parsing and printing, no logic. What a command does is a function of `wikimirror.app`."""

from __future__ import annotations

from wikimirror.cli.program import main

__all__ = ["main"]
