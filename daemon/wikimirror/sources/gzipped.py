"""Reading a file in chunks, plain or gzipped, whichever its first bytes say."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

CHUNK_BYTES: Final = 256 * 1024
_MAGIC: Final = b"\x1f\x8b"
_GZIP: Final = 16 + zlib.MAX_WBITS


class BrokenGzip(ValueError):
    """The compressed data ends too early or is damaged. Everything before it was yielded."""


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file's bytes, decompressed if it is gzipped, in pieces of at most CHUNK_BYTES.

    Several gzip members behind one another are one file, and zero bytes may pad the end. Raises BrokenGzip and OSError.
    """
    first = _at_least(file, len(_MAGIC))
    if first.startswith(_MAGIC):
        yield from _decompressed(file, first)
        return
    if first:
        yield first
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _decompressed(file: BinaryIO, first: bytes) -> Iterator[bytes]:
    compressed, member = first, zlib.decompressobj(_GZIP)
    while compressed:
        try:
            plain = member.decompress(compressed, CHUNK_BYTES)
        except zlib.error:
            raise BrokenGzip("its gzip data is damaged") from None
        if plain:
            yield plain
        if not member.eof:
            compressed = member.unconsumed_tail or file.read(CHUNK_BYTES)
            continue
        compressed = _next_member(file, member.unused_data)
        if not compressed:
            return
        if not compressed.startswith(_MAGIC):
            raise BrokenGzip("something that is not gzip follows its gzip data")
        member = zlib.decompressobj(_GZIP)
    yield member.flush()
    raise BrokenGzip("it ends in the middle of its gzip data")


def _next_member(file: BinaryIO, rest: bytes) -> bytes:
    rest = rest.lstrip(b"\x00")
    while not rest:
        chunk = file.read(CHUNK_BYTES)
        if not chunk:
            return b""
        rest = chunk.lstrip(b"\x00")
    return rest if len(rest) >= len(_MAGIC) else rest + _at_least(file, len(_MAGIC) - len(rest))


def _at_least(file: BinaryIO, size: int) -> bytes:
    """Read at least `size` bytes, unless the file ends before: a pipe gives what it has."""
    held = b""
    while len(held) < size and (chunk := file.read(CHUNK_BYTES)):
        held += chunk
    return held
