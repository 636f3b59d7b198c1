"""Cutting the bytes of a capture into records: NDJSON, server-sent events, single JSON objects and arrays of them.

The format is recognised by content, record by record, so a file may hold several. Nothing is checked here: what
cannot be a record is yielded all the same, to be refused by the decoder and accounted for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from wikimirror.sources.json_values import Elements, Nesting
from wikimirror.sources.sse import BOM, Frames, Lines

_SPACE: Final = b" \t\r\n"
_SSE_FIELD: Final = re.compile(rb"(?:data|event|id|retry)(?::|$)|:").match
_NEW_OBJECT: Final = re.compile(rb'\{[ \t]*"').match


class Capture:
    """Takes chunks of bytes, yields records' values in order. Holds at most one unfinished record of `limit` + 1 bytes.

    A longer record is cut to `limit` + 1 bytes, so that the decoder, given the same limit, refuses it as too large.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head: bytes | None = b""
        self._elements: Elements | None = None
        # A line of a frame bears its field's name besides the record.
        self._lines = Lines(limit + len(b"data: "))
        self._frames = Frames(limit)
        self._object: _Object | None = None
        self._speaks_sse = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the records that `chunk` completes. Exhaust it before feeding again."""
        if self._head is not None:
            chunk = self._begin(self._head + chunk)
            if self._head is not None:
                return
        if self._elements is not None:
            for element in self._elements.feed(chunk):
                yield self._value(element)
            if self._elements.rest is None:
                return
            chunk, self._elements = self._elements.rest, None
        for line in self._lines.feed(chunk):
            yield from self._line(line)

    def close(self) -> Iterator[bytes]:
        """Yield the records that the end of the bytes completes or cuts off."""
        if self._head:
            head, self._head = self._head, None
            yield from self.feed(head)
        if self._elements is not None:
            for element in self._elements.close():
                yield self._value(element)
        last = self._lines.close()
        if last is not None:
            yield from self._line(last)
        yield from self._finish()

    def _begin(self, head: bytes) -> bytes:
        """Look at the first bytes: skip a byte order mark and blank lines, recognise an array."""
        self._head = head
        if len(head) < len(BOM) and BOM.startswith(head):
            return b""
        head = head.removeprefix(BOM).lstrip(_SPACE)
        if not head:
            # Blanks are dropped as they come; the space stands for a mark that may not follow any more.
            self._head = b" "
            return b""
        self._head = None
        if head.startswith(b"["):
            self._elements = Elements(self._limit)
        return head

    def _line(self, line: bytes) -> Iterator[bytes]:
        if self._object is not None:
            if not (_NEW_OBJECT(line) or _SSE_FIELD(line)):
                if self._object.add(line):
                    yield from self._finish()
                return
            yield from self._finish()
        elif self._frames.open:
            if not line.startswith(b"{"):
                yield from self._sse(line)
                return
            yield from self._finish()
        yield from self._first_line(line)

    def _first_line(self, line: bytes) -> Iterator[bytes]:
        stripped = line.strip(_SPACE)
        if not stripped:
            return
        starts = stripped.startswith(b"{")
        if _SSE_FIELD(line) or (self._speaks_sse and not starts):
            self._speaks_sse = True
            yield from self._sse(line)
            return
        self._speaks_sse = False
        if starts and not stripped.endswith(b"}"):
            self._object = _Object(self._limit)
            if self._object.add(stripped) or not self._object.goes_on(stripped):
                yield from self._finish()
            return
        yield self._value(stripped)

    def _sse(self, line: bytes) -> Iterator[bytes]:
        frame = self._frames.line(line)
        if frame is not None:
            yield self._value(frame.data)

    def _value(self, value: bytes) -> bytes:
        return unwrapped(value[: self._limit + 1])

    def _finish(self) -> Iterator[bytes]:
        """Yield what is held, finished or cut off."""
        if self._object is not None:
            held, self._object = self._object, None
            yield self._value(bytes(held.text))
        frame = self._frames.close()
        if frame is not None:
            yield self._value(frame.data)


class _Object:
    """An object that goes over several lines, as a pretty-printer writes it."""

    def __init__(self, limit: int) -> None:
        self.text = bytearray()
        self._limit = limit
        self._nesting = Nesting()

    def add(self, line: bytes) -> bool:
        """Take one line; whether the object ends with it."""
        if self.text:
            line = b"\n" + line
        self.text += line[: self._limit + 1 - len(self.text)]
        return self._nesting.feed(line) <= 0

    def goes_on(self, line: bytes) -> bool:
        """Whether a next line can belong to it; otherwise `line` is a line of NDJSON that was cut off."""
        return line.endswith((b"{", b"[", b",", b":"))


class _Wrapper(msgspec.Struct, gc=False):
    data: msgspec.Raw = msgspec.Raw()
    meta: msgspec.Raw = msgspec.Raw()
    schema: msgspec.Raw = msgspec.field(name="$schema", default=msgspec.Raw())


_WRAPPER: Final = msgspec.json.Decoder(_Wrapper)


def unwrapped(value: bytes) -> bytes:
    """The record inside {"id": …, "data": {…} or "<JSON>"}, as some recorders write frames; else `value` itself."""
    try:
        wrapper = _WRAPPER.decode(value)
        data = bytes(wrapper.data)
        if not data or bytes(wrapper.meta) or bytes(wrapper.schema):
            return value
        if data.startswith(b'"'):
            return msgspec.json.decode(data, type=str).encode()
    except (ValueError, RecursionError):
        return value
    return data if data.startswith(b"{") else value
