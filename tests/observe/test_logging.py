from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from wikimirror.errors import WikimirrorError
from wikimirror.observe.logging import configure, describe, get_logger
from wikimirror.observe.withhold import CONTENT_KEYS, mask_secrets, withhold
from wikimirror.settings import LogSettings

SECRET = "what-nobody-may-read"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    out = io.StringIO()
    configure(LogSettings(format="json", level="info"), out)
    yield out
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_what_when_and_how_bad(stream: io.StringIO) -> None:
    get_logger("wikimirror.test").warning("batch applied", records=3)
    (line,) = lines(stream)
    assert line.pop("at").endswith("Z")
    assert line == {"event": "batch applied", "level": "warning", "logger": "wikimirror.test", "records": 3}


def test_lines_below_the_level_are_not_written(stream: io.StringIO) -> None:
    get_logger("wikimirror.test").debug("detail")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("format_", ["json", "console"])
@pytest.mark.parametrize("key", sorted(CONTENT_KEYS))
def test_content_is_dropped_at_every_depth(stream: io.StringIO, key: str, format_: str) -> None:
    configure(LogSettings.model_validate({"format": format_}), stream)
    get_logger("wikimirror.test").info("applied", **{key: SECRET}, deep=[{key.upper(): SECRET, "kept": 1}])
    assert SECRET not in stream.getvalue()
    assert "kept" in stream.getvalue()


def test_counts_are_told_even_under_a_key_of_content() -> None:
    assert withhold({"rows": 12, "text": 3.5, "title": "A"}) == {"rows": 12, "text": 3.5}


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://me:{SECRET}@a,b/db",
        f"connecting to postgres://me:{SECRET}@here:5432/db?x=1 failed",
        f"host=here password={SECRET} dbname=x",
        f"postgresql://here/db?user=me&password={SECRET}&x=1",
    ],
)
def test_secrets_are_masked_wherever_they_stand(stream: io.StringIO, text: str) -> None:
    get_logger("wikimirror.test").info(text, url=text, deep={"list": [text]}, password=SECRET, api_key=SECRET)
    assert SECRET not in stream.getvalue()
    assert "********" in mask_secrets(text)


@given(st.text())
def test_masking_takes_any_text_and_leaves_nothing_to_mask(text: str) -> None:
    once = mask_secrets(text)
    assert mask_secrets(once) == once


def test_bytes_are_told_by_their_length(stream: io.StringIO) -> None:
    get_logger("wikimirror.test").info("read", key=SECRET.encode())
    assert lines(stream)[0]["key"] == f"{len(SECRET)} bytes"


def test_exceptions_are_told_by_kind_and_place_and_only_ours_by_their_text(stream: io.StringIO) -> None:
    def insert() -> None:
        raise asyncpg.UniqueViolationError(SECRET)

    def fail() -> None:
        try:
            insert()
        except asyncpg.UniqueViolationError as error:
            raise WikimirrorError("the batch failed") from error

    try:
        fail()
    except WikimirrorError:
        get_logger("wikimirror.test").exception("apply failed")
    assert SECRET not in stream.getvalue()
    ours, cause = lines(stream)[0]["exception"]
    assert (ours["kind"], ours["message"]) == ("WikimirrorError", "the batch failed")
    assert (cause["kind"], cause["sqlstate"]) == ("UniqueViolationError", "23505")
    assert any(where.endswith(" insert") for where in cause["where"])


def test_an_endless_chain_of_causes_is_cut() -> None:
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    assert len(describe(first)) <= 8


def test_lines_of_other_libraries_look_alike_and_quote_nothing(stream: io.StringIO) -> None:
    async def forget() -> None:
        async def fail() -> None:
            raise ValueError(SECRET)

        loop = asyncio.get_running_loop()
        task = loop.create_task(fail())
        await asyncio.wait({task})
        loop.call_exception_handler(
            {"message": "Task exception was never retrieved", "task": task, "exception": task.exception()}
        )

    asyncio.run(forget())
    (line,) = lines(stream)
    assert line["logger"] == "asyncio"
    assert line["event"] == "Task exception was never retrieved"
    assert SECRET not in stream.getvalue()


def test_a_line_that_cannot_be_written_is_told_without_quoting_it(stream: io.StringIO) -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise ValueError(SECRET)

        __repr__ = __str__

    configure(LogSettings(format="json"), stream)  # without the handlers that pytest adds, which would raise
    get_logger("wikimirror.test").info("told", thing=Unprintable())
    assert stream.getvalue() == "a log line of wikimirror.test could not be written: ValueError\n"
    assert SECRET not in stream.getvalue()
