"""Which program this is."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import NamedTuple


class Build(NamedTuple):
    """The installed version of wikimirror and the Python that runs it."""

    version: str
    python: str


def build() -> Build:
    """What runs; `unknown` is the version of a program that was never installed."""
    try:
        version = installed_version("wikimirror")
    except PackageNotFoundError:
        version = "unknown"
    return Build(version, platform.python_version())
