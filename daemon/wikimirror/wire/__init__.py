"""Bytes to changes: the dialects in which Wikimedia's streams speak, one module each.

`decode` reads any record; what it cannot read it refuses with a `Reason`. Nothing here does I/O or reads a clock.
A further dialect is a module with a `DIALECT`, entered in `envelope` under its schema, stream or fields.
"""

from __future__ import annotations

from wikimirror.wire.dialect import CAPTURE, Dialect
from wikimirror.wire.envelope import DIALECTS, RECORD_BYTES, Decoded, Ignored, decode
from wikimirror.wire.reasons import Reason

__all__ = ["CAPTURE", "DIALECTS", "RECORD_BYTES", "Decoded", "Dialect", "Ignored", "Reason", "decode"]
