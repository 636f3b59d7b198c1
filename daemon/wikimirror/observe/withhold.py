"""What must not be told: keys that may hold content (promise P3), and secrets. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

MASK: Final = "********"

CONTENT_KEYS: Final = frozenset(
    {
        "abstract",
        "bodies",
        "body",
        "comment",
        "content",
        "editor",
        "editor_name",
        "html",
        "name",
        "page_title",
        "parsedcomment",
        "payload",
        "performer",
        "prior_state",
        "record",
        "row",
        "rows",
        "text",
        "title",
        "user",
        "user_text",
        "value",
        "wikitext",
    }
)
"""Keys whose value may be, or may quote, what a wiki can hide. Dropped wherever they stand, counts excepted."""

_SECRET_KEY: Final = re.compile(r"password|passwd|secret|token|authorization|credential|cookie|api_?key", re.IGNORECASE)
_URL_PASSWORD: Final = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@?#]*):[^\s/@?#]*@", re.IGNORECASE)
_PARAMETER: Final = re.compile(r"(\b(?:password|passwd|secret|token)=)[^\s&#'\"]+", re.IGNORECASE)


def mask_secrets(text: str) -> str:
    """`text` with the passwords of URLs and of `password=…` parameters masked."""
    return _PARAMETER.sub(rf"\g<1>{MASK}", _URL_PASSWORD.sub(rf"\g<1>:{MASK}@", text))


def withhold(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` without the keys of CONTENT_KEYS, and with secrets masked, at every depth."""
    return {
        key: _withheld(key, value)
        for key, value in fields.items()
        if key.lower() not in CONTENT_KEYS or isinstance(value, (int, float))
    }


def _withheld(key: str, value: object) -> object:
    if _SECRET_KEY.search(key) and isinstance(value, (str, bytes)):
        return MASK
    if isinstance(value, str):
        return mask_secrets(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{len(value)} bytes"
    if isinstance(value, Mapping):
        return withhold({str(inner): item for inner, item in value.items()})
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_withheld(key, item) for item in value]
    return value
