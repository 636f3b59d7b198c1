"""Waiting for the environment."""

from __future__ import annotations

import pytest
import stamina.instrumentation
import structlog.testing
from hypothesis import given
from hypothesis import strategies as st

from wikimirror.errors import DatabaseUnavailable, Fenced, SourceUnavailable
from wikimirror.observe.logging import get_logger
from wikimirror.observe.vitals import Vitals, Waiting
from wikimirror.pipeline.waiting import FIRST_PAUSE, patiently, pause, resume

LOG = get_logger("test")


@given(st.integers(1, 10**6), st.floats(0.1, 3600), st.floats(0, 1))
def test_a_pause_is_never_longer_than_the_longest_nor_shorter_than_half_of_what_it_has_grown_to(
    attempt: int, longest: float, draw: float
) -> None:
    seconds = pause(attempt, longest, None, draw)
    assert seconds <= longest
    assert seconds >= min(longest, FIRST_PAUSE) / 2
    assert seconds <= pause(attempt + 1, longest, None, 0.0)


@given(st.integers(1, 100), st.floats(0, 10**9), st.floats(0, 1))
def test_what_a_server_asks_for_is_the_least_up_to_an_hour(attempt: int, asked: float, draw: float) -> None:
    seconds = pause(attempt, 30.0, asked, draw)
    assert seconds >= min(asked, 3600.0)
    assert seconds <= max(30.0, min(asked, 3600.0) * 1.1)


def test_at_its_longest_a_pause_still_differs_between_daemons() -> None:
    assert pause(50, 30.0, None, 0.0) == 30.0
    assert pause(50, 30.0, None, 1.0) == 15.0


async def test_attempts_go_on_until_one_succeeds_and_vitals_tell_of_the_wait_meanwhile() -> None:
    vitals, tries, waits = Vitals("s"), 0, []
    async for attempt in patiently(
        vitals, Waiting.DATABASE, 0.01, lambda error: isinstance(error, DatabaseUnavailable), LOG
    ):
        with attempt:
            waits.append(vitals.waits.get(Waiting.DATABASE))
            tries += 1
            if tries < 20:
                raise DatabaseUnavailable("away")
            resume(vitals, Waiting.DATABASE, LOG)
    assert tries == 20
    assert waits[0] is None
    assert waits[-1] is not None
    assert waits[-1].attempts == 19
    assert waits[-1].reason == "away"
    assert vitals.waits == {}
    assert vitals.retries == {"database": 19}


@pytest.mark.parametrize("error", [Fenced("gone"), ZeroDivisionError()])
async def test_what_waiting_does_not_mend_is_raised_at_once(error: Exception) -> None:
    vitals, tries = Vitals("s"), 0

    async def attempts() -> None:
        nonlocal tries
        async for attempt in patiently(
            vitals, Waiting.DATABASE, 0.01, lambda error: isinstance(error, DatabaseUnavailable), LOG
        ):
            with attempt:
                tries += 1
                raise error

    with pytest.raises(type(error)):
        await attempts()
    assert tries == 1
    assert vitals.waits == {}


async def test_one_reason_is_said_aloud_once_however_many_attempts_it_takes() -> None:
    vitals, reasons = Vitals("s"), iter(["a", "a", "a", "b", "b", "a", "b"])
    stamina.instrumentation.set_on_retry_hooks(())
    with structlog.testing.capture_logs() as lines:
        async for attempt in patiently(vitals, Waiting.SOURCE, 0.001, lambda _: True, LOG):
            with attempt:
                reason = next(reasons, None)
                if reason is not None:
                    raise SourceUnavailable(reason)
        resume(vitals, Waiting.SOURCE, LOG)
    assert [line["reason"] for line in lines if line["log_level"] == "warning"] == ["a", "b"]
    assert [line["attempts"] for line in lines if line["log_level"] == "info"] == [7]
