"""Every command that writes says so in Postgres: who, what, and how it ended."""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from wikimirror.app.places import Place, open_session
from wikimirror.errors import Refused, WikimirrorError
from wikimirror.mirror.connect import Session
from wikimirror.mirror.operations import Result, begin_operation, end_operation
from wikimirror.observe.logging import get_logger
from wikimirror.settings import Settings

_LOG = get_logger(__name__)
OPERATOR: Final = "WIKIMIRROR_OPERATOR"
"""The environment variable that says who runs a command: in a pod the user of the process tells nothing."""
_LONGEST_NAME: Final = 200
_NAME: Final = "wikimirror operation"
"""What Postgres calls these sessions."""
_IDLE: Final = 10.0
"""Seconds after which the server ends a transaction that stands still, as a daemon's: a command that somebody has
paused at a terminal must not keep the pages it locked from the daemon."""
_FAREWELL: Final = 5.0
"""Seconds that noting the end may take."""


@dataclass
class Operating:
    """A command at work."""

    session: Session
    """For what it writes."""
    summary: dict[str, object]
    """What it did, in numbers; noted when it ends, however it ends."""


@dataclass
class _Outcome:
    """How a command ended, as far as it has."""

    result: Result = Result.FAILED
    summary: dict[str, object] = field(default_factory=dict)


@contextmanager
def _watching(outcome: _Outcome) -> Iterator[None]:
    """See how the block ends; an error is told by its kind alone."""
    try:
        yield
        outcome.result = Result.DONE
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
        outcome.result = Result.INTERRUPTED
        raise
    except Exception as error:
        if isinstance(error, Refused):
            outcome.result = Result.REFUSED
        outcome.summary.setdefault("error", type(error).__name__)
        raise


@asynccontextmanager
async def operating(
    settings: Settings, place: Place, command: str, arguments: Mapping[str, object], *, dry_run: bool = False
) -> AsyncIterator[Operating]:
    """Note that `command` begins, give a session to work with, and note how it ended.

    What was not asked for (None, false, nothing at all) is left out of `arguments`. Raises DatabaseUnavailable,
    DatabaseRefused where not even the beginning can be noted: then the command does nothing.
    """
    async with await open_session(settings, place, name=_NAME) as books:
        number = await begin_operation(
            books, who=operator(), command=command, arguments=_given(arguments), dry_run=dry_run
        )
        outcome = _Outcome()
        try:
            with _watching(outcome):
                async with await open_session(settings, place, idle=_IDLE, name=_NAME) as session:
                    yield Operating(session, outcome.summary)
        finally:
            await _end(settings, place, books, number, outcome)


@asynccontextmanager
async def noted(settings: Settings, place: Place, command: str, arguments: Mapping[str, object]) -> AsyncIterator[None]:
    """As `operating`, for a daemon, which works whether or not that can be noted, and holds no session for it."""
    number = None
    try:
        async with asyncio.timeout(_FAREWELL), await open_session(settings, place, name=_NAME) as session:
            number = await begin_operation(
                session, who=operator(), command=command, arguments=_given(arguments), dry_run=False
            )
    except (TimeoutError, WikimirrorError) as error:
        _LOG.warning("that this began could not be noted", command=command, reason=str(error))
    outcome = _Outcome()
    try:
        with _watching(outcome):
            yield
    finally:
        if number is not None:
            await _end(settings, place, None, number, outcome)


def operator() -> str:
    """Who runs this: as the environment says, else the user of the process and the machine."""
    told = os.environ.get(OPERATOR, "").strip()
    if told:
        return told[:_LONGEST_NAME]
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # In a container a user may be a number without a name.
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:_LONGEST_NAME]


def _given(arguments: Mapping[str, object]) -> dict[str, object]:
    # By identity and type: 0 is a partition, and a rate.
    return {
        name: value
        for name, value in arguments.items()
        if value is not None and value is not False and value not in ((), [], "")
    }


async def _end(settings: Settings, place: Place, books: Session | None, number: int, outcome: _Outcome) -> None:
    """The command has ended, whatever becomes of this note. A pooler or a failover may have cut the first session."""
    try:
        async with asyncio.timeout(_FAREWELL):
            if books is not None:
                with suppress(WikimirrorError):
                    await end_operation(books, number, outcome.result, outcome.summary)
                    return
            async with await open_session(settings, place, name=_NAME) as again:
                await end_operation(again, number, outcome.result, outcome.summary)
    except (TimeoutError, WikimirrorError) as error:
        _LOG.warning("how the operation ended could not be noted", operation=number, reason=str(error))
