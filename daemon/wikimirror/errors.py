"""Every failure the program tells a person about: what happened, what the program does, what to do next.

The reaction is part of the kind of error, so that one place (the classifier around apply) can decide what to do.
Messages never contain page text, editor names or secrets.
"""

from __future__ import annotations

from enum import StrEnum
from traceback import clear_frames
from typing import ClassVar


class Reaction(StrEnum):
    """What the program does about an error."""

    RETRY = "retry"
    """The environment is at fault: wait and try the same again."""
    SET_ASIDE = "set_aside"
    """The record is at fault: keep it in `dead_letter` and go on."""
    HALT = "halt"
    """Neither: stop, change nothing, tell."""


class WikimirrorError(Exception):
    """Base of all errors raised on purpose. The text says what happened; `remedy` says what to do next."""

    reaction: ClassVar[Reaction] = Reaction.HALT
    exit_code: ClassVar[int] = 1
    remedy: str = ""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        if remedy is not None:
            self.remedy = remedy


def let_go(error: BaseException) -> None:
    """Empty the frames that an error of a driver went through, its causes included.

    A driver keeps what it was doing in a circle of error, frames and connection. A failed connection then keeps all it
    had, such as the authorities of TLS, until Python looks for circles: in an outage that is a megabyte each time.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        clear_frames(current.__traceback__)
        current = current.__cause__ or current.__context__


class ConfigurationError(WikimirrorError):
    """Settings, arguments or files given by the user cannot be used."""

    exit_code = 2


class UnreadableRecord(WikimirrorError):
    """A record that cannot be decoded. `reason` is one of a closed set and never quotes the record."""

    reaction = Reaction.SET_ASIDE
    remedy = "The record is in dead_letter with its coordinates; the source can be read again from there."

    def __init__(
        self,
        reason: str,
        detail: str = "",
        *,
        wiki_id: str | None = None,
        page_id: int | None = None,
        rev_id: int | None = None,
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.retracts = False
        """Whether it takes something away: then its page is hidden until it is read again (law, hidden first)."""
        self.reason = reason
        self.wiki_id = wiki_id
        self.page_id = page_id
        self.rev_id = rev_id


class SourceUnavailable(WikimirrorError):
    """The source cannot be read for now: not reachable, too busy, cut off, or not answering as itself.

    `retry_after`: seconds that the source asked us to stay away, if it did.
    """

    reaction = Reaction.RETRY
    remedy = "Nothing is lost: reading goes on from the position in Postgres once the source answers."

    def __init__(self, message: str, *, remedy: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after


class SourceRefused(WikimirrorError):
    """The source is there and refuses what is asked of it: the request has to change, not the time."""


class GapFound(WikimirrorError):
    """A stretch of the source is lost and `on_gap = "halt"` says not to go on."""


class DatabaseUnavailable(WikimirrorError):
    """Postgres cannot be reached or is not accepting work for now."""

    reaction = Reaction.RETRY
    remedy = "Check that the server is up and reachable. A daemon tries again by itself; run any other command again."


class DatabaseRefused(WikimirrorError):
    """Postgres is there but cannot be used as it is: version, schema, rights or mode."""


class Refused(WikimirrorError):
    """A command changed nothing, because what was asked for would not be safe as things are."""


class TooManySetAside(WikimirrorError):
    """So many records would be set aside that the fault is not in them: reading stops instead (the breaker)."""

    remedy = (
        "Nothing of this batch is written, and nothing is lost. Look at what the source sends"
        " (`wikimirror check-source`) and at the program's version; then start the daemon again."
        " docs/runbooks/WikimirrorSourceHalted.md"
    )


class Fenced(WikimirrorError):
    """Another writer has taken over this partition; this one must stop writing (promise P5)."""

    remedy = "Nothing to do if a newer daemon runs. Otherwise look at `checkpoint.writer` to see who took over."


class EmbeddedPostgresError(WikimirrorError):
    """The embedded Postgres cannot be started."""
