"""Server-sent events framing, as WHATWG's HTML standard (section 9.2) defines it.

`Lines` cuts bytes into lines, `Frames` puts lines together to frames. Neither knows where the bytes come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

BOM: Final = b"\xef\xbb\xbf"


class Lines:
    """Cuts chunks of bytes into lines at LF, CR or CRLF, holding no more than `limit` + 1 bytes of an unfinished one.

    A longer line is cut to `limit` + 1 bytes, so that whoever measures it finds it too long.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._held = 0
        self._after_cr = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that `chunk` completes, without their ends. Exhaust it before feeding again."""
        if not chunk:
            return
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        # Of bytes, splitlines knows just the three ends that the standard names, and it is far quicker than a search.
        for piece in chunk.splitlines(keepends=True):
            if piece.endswith(b"\n"):
                yield self._line(piece[: -2 if piece.endswith(b"\r\n") else -1])
            elif piece.endswith(b"\r"):
                yield self._line(piece[:-1])
            else:
                self._hold(piece)
        # A CR that ends the chunk may be half of a CRLF.
        self._after_cr = chunk.endswith(b"\r")

    def close(self) -> bytes | None:
        """The last line, if the bytes did not end with a line's end."""
        return self._line(b"") if self._held else None

    def _line(self, rest: bytes) -> bytes:
        if not self._pieces:
            return rest[: self._limit + 1]
        self._hold(rest)
        line = b"".join(self._pieces)
        self._pieces, self._held = [], 0
        return line

    def _hold(self, piece: bytes) -> None:
        kept = piece[: self._limit + 1 - self._held]
        if kept:
            self._pieces.append(kept)
            self._held += len(kept)


class Frame(NamedTuple):
    """One dispatched frame: its type ('message' unless named), its data, and the last id seen (None: never any)."""

    type: str
    data: bytes
    id: str | None


class Frames:
    """Puts lines together to frames, holding no more than `limit` + 1 bytes of data (see `Lines`).

    Comments, unknown fields and frames without data yield nothing, as the standard says.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data: list[bytes] = []
        self._held = 0
        self._type = ""
        self._id: str | None = None
        self.open = False
        """Whether a frame was begun and not yet ended by an empty line."""

    def line(self, line: bytes) -> Frame | None:
        """Take one line; the frame, when this line ends one that has data."""
        if not line:
            return self.close()
        self.open = True
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._hold(value)
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif name == b"id" and b"\x00" not in value:
            self._id = value.decode("utf-8", "replace")
        return None

    def close(self) -> Frame | None:
        """End the frame here. A live stream drops a frame cut off by its end; a recording accounts for it."""
        frame = Frame(self._type or "message", b"\n".join(self._data), self._id) if self._data else None
        self._data, self._held, self._type, self.open = [], 0, "", False
        return frame

    def _hold(self, value: bytes) -> None:
        # `_held` counts the LF after each value too: with no room left, an empty value still makes the data too long.
        room = self._limit + 1 - self._held
        if room >= 0:
            self._data.append(value[:room])
            self._held += len(value[:room]) + 1
