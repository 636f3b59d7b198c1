"""Asking before something is done that cannot be taken back at once."""

from __future__ import annotations

import sys
from typing import Final

from wikimirror.cli.output import clean
from wikimirror.errors import Refused

_YES: Final = frozenset({"y", "yes"})
_NOTHING: Final = "nothing was changed"


def confirm(question: str, *, yes: bool) -> None:
    """Return where `question`, which ends with a question mark, may be taken for answered with yes.

    `yes` is what --yes says: then nobody is asked. On a terminal the question goes to standard error, so that standard
    output holds data alone, and only `y` or `yes` are a yes. Raises Refused for any other answer, and where there is no
    terminal to ask at.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(
            f"it was not confirmed, and there is no terminal to ask at: {_NOTHING}",
            remedy="Look at what --dry-run shows, then say --yes.",
        )
    sys.stderr.write(f"{clean(question)} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in _YES:
        raise Refused(f"it was not confirmed: {_NOTHING}", remedy="To go ahead, answer y, or say --yes.")
