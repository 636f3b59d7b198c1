"""Logging: structlog for our lines and the standard library's alike, on standard error, as JSON or for a console.

Exceptions are told by kind, place and SQLSTATE. Their text is told only where it is ours: a driver's message may quote
a row (Postgres's DETAIL line does), and then what a wiki has hidden would stand in the logs (promise P3).
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
import traceback
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final, TextIO

import stamina.instrumentation
import structlog

from wikimirror.errors import WikimirrorError
from wikimirror.observe.withhold import mask_secrets, withhold
from wikimirror.settings import LogSettings

_FRAMES: Final = 8
"""Innermost frames told of each exception."""

_AGAIN: Final = 600.0
"""Seconds."""

_Fields = MutableMapping[str, Any]


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines. One that cannot be written is told without quoting it, as the standard library's handler would."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        kind = type(sys.exc_info()[1]).__qualname__
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(f"a log line of {record.name} could not be written: {kind}\n")


class _Seldom(logging.Filter):
    """Lets what a library says again and again, as in an outage, through once in `_AGAIN` for each of its lines."""

    def __init__(self, library: str) -> None:
        super().__init__()
        self._library = library
        self._said: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name != self._library and not record.name.startswith(f"{self._library}."):
            return True
        # The text before anything is put into it: a library has a fixed number of these.
        line = (record.name, record.msg)
        now, before = time.monotonic(), self._said.get(line)
        if before is not None and now - before < _AGAIN:
            return False
        self._said[line] = now
        return True


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Sets up logging for the whole process, once or again. `stream` is standard error unless given."""
    out = stream if stream is not None else sys.stderr
    console = settings.format == "console" or (settings.format == "auto" and out.isatty())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _tell_exception,
        _withhold_content,
    ]
    rendering: list[structlog.typing.Processor] = (
        [_exception_as_text, structlog.dev.ConsoleRenderer(colors=out.isatty(), timestamp_key="at")]
        if console
        else [structlog.processors.JSONRenderer(ensure_ascii=False)]
    )
    handler = _Handler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_first_line_only, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    handler.addFilter(_Seldom("aiokafka"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # stamina would tell each attempt as a warning, with the error's text, and count it in metrics of its own.
    stamina.instrumentation.set_on_retry_hooks(())
    # It tells each step of each migration as news.
    logging.getLogger("alembic").setLevel(level if level == logging.DEBUG else max(level, logging.WARNING))
    # Its debug lines hold whole requests and answers: page text, editors, passwords (promise P3). Its warnings tell of
    # each rebalance as of a failure.
    logging.getLogger("aiokafka").setLevel(max(level, logging.ERROR))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module, by its `__name__`. Say what happened in `event`, all else in keys."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def _withhold_content(_logger: object, _method: str, fields: _Fields) -> _Fields:
    internal = {key: value for key, value in fields.items() if key.startswith("_")}
    told = withhold({key: value for key, value in fields.items() if not key.startswith("_")})
    return {**told, **internal}


def _first_line_only(_logger: object, _method: str, fields: _Fields) -> _Fields:
    """Other libraries put what they were given after the first line (asyncio: the task, with its exception's text)."""
    fields["event"] = str(fields.get("event", "")).partition("\n")[0]
    return fields


def _tell_exception(_logger: object, _method: str, fields: _Fields) -> _Fields:
    given = fields.pop("exc_info", None)
    error = _exception_of(given)
    if error is not None:
        fields["exception"] = describe(error)
    return fields


def _exception_of(given: object) -> BaseException | None:
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        return given[1] if isinstance(given[1], BaseException) else None
    return sys.exc_info()[1] if given else None


def _exception_as_text(_logger: object, _method: str, fields: _Fields) -> _Fields:
    chain = fields.get("exception")
    if isinstance(chain, list):
        fields["exception"] = "\n".join(
            f"  {told['kind']} {told.get('sqlstate', '')} {told.get('message', '')} at {', '.join(told['where'])}"
            for told in chain
        )
    return fields


def describe(error: BaseException) -> list[dict[str, Any]]:
    """An exception and its causes, outermost first: kind, SQLSTATE, our own message, and where it was raised."""
    chain: list[dict[str, Any]] = []
    current: BaseException | None = error
    while current is not None and len(chain) < _FRAMES:
        told: dict[str, Any] = {"kind": type(current).__qualname__}
        sqlstate = getattr(current, "sqlstate", None)
        if isinstance(sqlstate, str):
            told["sqlstate"] = sqlstate
        if isinstance(current, WikimirrorError):
            told["message"] = mask_secrets(str(current))
        elif isinstance(current, OSError) and current.strerror:
            told["message"] = current.strerror
        frames = traceback.extract_tb(current.__traceback__)[-_FRAMES:]
        told["where"] = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        chain.append(told)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return chain
