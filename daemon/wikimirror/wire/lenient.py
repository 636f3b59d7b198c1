"""The second reading: of records that the strict one refused, for the sake of the retractions among them.

A bad field of a retraction never stops the retraction. So what does not fit the statement is left out here, and
what remains is judged by the dialect as always.
"""

from __future__ import annotations

import json
import re
from functools import cache
from types import UnionType
from typing import Any, Final, NamedTuple, TypeVar, get_args

import msgspec

from wikimirror.wire.dialect import Flag
from wikimirror.wire.reasons import Reason, unreadable

S = TypeVar("S", bound=msgspec.Struct)

_DEEPEST: Final = 32
_LONGEST_INTEGER: Final = 20
# A string that nothing closes is a token too: else each quote in it would begin another search to the end.
_TOKENS: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def parse(value: bytes) -> dict[str, Any]:
    """Read one JSON object, tolerating what a string may not hold: invalid UTF-8, lone surrogates, control characters.

    Nesting beyond what any statement has is read as null. UnreadableRecord: `not_json` or `not_an_object`.
    """
    text = value.decode("utf-8", "surrogateescape")
    try:
        try:
            parsed = _loads(text)
        except RecursionError:
            parsed = _loads(_shallow(text))
    except (ValueError, RecursionError):
        raise unreadable(Reason.NOT_JSON) from None
    if not isinstance(parsed, dict):
        raise unreadable(Reason.NOT_AN_OBJECT)
    return parsed


def fit(value: dict[str, Any], statement: type[S], *, hide: bool) -> S:
    """Make a statement of those fields of `value` that have the type they must have.

    With `hide`, a visibility flag that is present and unreadable is false, and so are all flags of a group of flags
    that is unreadable as a whole. A part that should be an object and is not is an empty one: present, saying nothing.
    """
    kept: dict[str, Any] = {}
    for part in _parts(statement):
        found = value.get(part.key)
        if found is None:
            if part.is_flag and part.key in value:
                kept[part.name] = None
        elif part.inner is not None:
            kept[part.name] = _inner(found, part.inner, hide=hide)
        else:
            try:
                kept[part.name] = msgspec.convert(found, part.type)
            except (msgspec.ValidationError, ValueError, OverflowError):
                if part.is_flag and hide:
                    kept[part.name] = False
    return statement(**kept)


class _Part(NamedTuple):
    name: str
    key: str
    type: Any
    inner: type[msgspec.Struct] | None
    is_flag: bool


@cache
def _parts(statement: type[msgspec.Struct]) -> tuple[_Part, ...]:
    return tuple(
        _Part(field.name, field.encode_name, field.type, _struct_in(field.type), field.type == Flag)
        for field in msgspec.structs.fields(statement)
    )


def _struct_in(annotation: Any) -> type[msgspec.Struct] | None:
    for option in get_args(annotation) if isinstance(annotation, UnionType) else (annotation,):
        if isinstance(option, type) and issubclass(option, msgspec.Struct):
            return option
    return None


def _inner(found: Any, statement: type[S], *, hide: bool) -> S:
    if isinstance(found, dict):
        return fit(found, statement, hide=hide)
    parts = _parts(statement)
    if hide and parts and all(part.is_flag for part in parts):
        return statement(**{part.name: False for part in parts})
    return statement()


def _loads(text: str) -> Any:
    return json.loads(text, strict=False, parse_int=_integer)


def _integer(digits: str) -> int | float:
    """Beyond any identifier an integer is no identifier; a float fits none of the fields that want one."""
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)


def _shallow(text: str) -> str:
    """`text` with every value nested deeper than `_DEEPEST` replaced by null, without recursion."""
    pieces: list[str] = []
    depth = copied = 0
    for token in _TOKENS.finditer(text):
        character = text[token.start()]
        if character in "[{":
            depth += 1
            if depth == _DEEPEST + 1:
                pieces += (text[copied : token.start()], "null")
        elif character in "]}":
            if depth == _DEEPEST + 1:
                copied = token.end()
            depth -= 1
    if depth == 0:
        pieces.append(text[copied:])
    return "".join(pieces)
