"""Who may see more than numbers: whoever brings the token, as a browser's password or as a program's bearer token."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Final

CHALLENGES: Final = ('Basic realm="wikimirror: any user, the token as password", charset="UTF-8"', "Bearer")
"""What WWW-Authenticate says, a header each (RFC 7617, RFC 6750)."""
_LONGEST: Final = 4096
"""Characters of an Authorization header that are looked at."""


def admits(header: str | None, token: str) -> bool:
    """Whether an Authorization header brings the token. How long the comparison takes tells nothing of the token."""
    brought = _brought(header or "")
    return brought is not None and hmac.compare_digest(brought, token.encode())


def _brought(header: str) -> bytes | None:
    """The password of Basic, whatever the user, or the token of Bearer."""
    scheme, _, said = header[:_LONGEST].partition(" ")
    match scheme.lower():
        case "bearer":
            return said.strip().encode("utf-8", "surrogateescape")
        case "basic":
            try:
                pair = base64.b64decode(said.strip(), validate=True)
            except (binascii.Error, ValueError):
                return None
            _, colon, password = pair.partition(b":")
            return password if colon else None
    return None
