"""What a batch says of itself at debug level: two lines, and its transaction lies between them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.merge.statements import edit
from tests.mirror.commits import Cut
from tests.mirror.lanes import Written
from wikimirror.errors import DatabaseUnavailable, Fenced
from wikimirror.mirror import apply
from wikimirror.mirror.connect import Session

FIRST = {"event": "first write", "log_level": "debug", "positions": {"test t[0]": 2}, "records": 2}
DURABLE = {**FIRST, "event": "durable"}


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[list[EventDict]]:
    caplog.set_level(logging.DEBUG, apply.__name__)
    with capture_logs() as lines:
        yield lines


async def test_it_tells_of_its_first_write_and_that_it_is_durable(session: Session, told: list[EventDict]) -> None:
    await (await Written.to(session)).apply(edit(1, comment="secret"), edit(2))
    assert told == [FIRST, DURABLE]


async def test_what_is_not_confirmed_is_not_called_durable(session: Session, told: list[EventDict]) -> None:
    lane = await Written.to(session)
    Cut.of(session)
    with pytest.raises(DatabaseUnavailable):
        await lane.apply(edit(1), edit(2))
    assert told == [FIRST]


async def test_whoever_is_fenced_writes_nothing_and_says_nothing(session: Session, told: list[EventDict]) -> None:
    former, _ = await Written.to(session), await Written.to(session)
    with pytest.raises(Fenced):
        await former.apply(edit(1))
    assert told == []


async def test_at_the_usual_level_nothing_is_said(session: Session) -> None:
    with capture_logs() as lines:
        await (await Written.to(session)).apply(edit(1))
    assert lines == []
