"""Finding where JSON values end, in pieces and without keeping them: for arrays and for objects over many lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_OUTSIDE: Final = re.compile(rb'["{}\[\],]')
_INSIDE: Final = re.compile(rb'["\\]')
_SPACE: Final = b" \t\r\n"


class Nesting:
    """Follows brackets and strings through consecutive pieces of JSON text."""

    def __init__(self) -> None:
        self.depth = 0
        """How many brackets are open after what was fed so far."""
        self._in_string = False
        self._escaped = False

    def marks(self, piece: bytes) -> Iterator[int]:
        """Yield the places in `piece` of commas and brackets outside strings, `depth` being that after the mark."""
        at = 0
        while at < len(piece):
            if self._escaped:
                self._escaped = False
                at += 1
                continue
            found = (_INSIDE if self._in_string else _OUTSIDE).search(piece, at)
            if found is None:
                return
            at = found.end()
            match found[0]:
                case b'"':
                    self._in_string = not self._in_string
                case b"\\":
                    self._escaped = True
                case mark:
                    self.depth += (mark in b"{[") - (mark in b"}]")
                    yield found.start()

    def feed(self, piece: bytes) -> int:
        """Take `piece` whole; the depth after it."""
        for _ in self.marks(piece):
            pass
        return self.depth


class Elements:
    """Cuts the text of one JSON array, its opening bracket included, into its elements.

    Holds no more than `limit` + 1 bytes of an element (see `sse.Lines`). Elements are not checked: what lies between
    two commas is one, so that a malformed element is accounted for like any other record.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._nesting = Nesting()
        self._held = bytearray()
        self.rest: bytes | None = None
        """What follows the array's end, once that was reached."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the elements that `chunk` completes. Exhaust it before feeding again; not after `rest` is set."""
        start = 0
        for mark in self._nesting.marks(chunk):
            depth, character = self._nesting.depth, chunk[mark : mark + 1]
            if character == b"[" and depth == 1:
                start = mark + 1
            elif depth <= 0 or (depth == 1 and character == b","):
                self._hold(chunk[start:mark])
                yield from self._element(ended=depth <= 0)
                start = mark + 1
                if depth <= 0:
                    self.rest = chunk[start:]
                    return
        self._hold(chunk[start:])

    def close(self) -> Iterator[bytes]:
        """Yield the element that was cut off, if the array never ended."""
        if self.rest is None:
            yield from self._element(ended=True)

    def _element(self, *, ended: bool) -> Iterator[bytes]:
        element = bytes(self._held).strip(_SPACE)
        self._held.clear()
        # Nothing before the end is an empty array, or a comma too many; nothing before a comma is a lost element.
        if element or not ended:
            yield element

    def _hold(self, piece: bytes) -> None:
        self._held += piece[: self._limit + 1 - len(self._held)]
