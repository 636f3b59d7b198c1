"""Faults of settings: what is wrong, in our words, and who said it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from pydantic_core import ErrorDetails

from wikimirror.errors import ConfigurationError
from wikimirror.settings.sections import MASK, NAME, PREFIX, SOURCE_TYPES, Settings, keys, source_keys, variable

Said = Callable[[Sequence[str]], tuple[object, str]]
"""Gives the raw value at a location, and who said it."""

_NO_SECTION: Final = {"model_type", "model_attributes_type", "dict_type"}
_NO_TYPE: Final = "union_tag_not_found"
_OTHER_TYPE: Final = "union_tag_invalid"
_TYPES: Final = " or ".join(f'"{kind}"' for kind in SOURCE_TYPES)
_AFTER_NAME: Final = 2
_KEY_ITSELF: Final = "[key]"
"""Pydantic's last part of a location where not the value of a key is at fault but its name."""


class Fault(NamedTuple):
    """One thing wrong: which key, what it says (masked if secret), which rule that breaks, which source said it."""

    key: str
    value: str
    rule: str
    source: str

    def __str__(self) -> str:
        said = f" = {self.value}" if self.value else ""
        return f"{self.key}{said}: {self.rule} ({self.source})"


class InvalidSettings(ConfigurationError):
    """The settings cannot be used. `faults` names every reason at once."""

    remedy = "Mend what is named; `wikimirror check-config` tells when all is well."

    def __init__(self, faults: Sequence[Fault], *, remedy: str | None = None) -> None:
        count = f"{len(faults)} settings" if len(faults) != 1 else "A setting"
        super().__init__(f"{count} cannot be used:\n" + "\n".join(f"  {fault}" for fault in faults), remedy=remedy)
        self.faults = tuple(faults)


def fault_of(detail: ErrorDetails, said: Said) -> Fault:
    """One of pydantic's findings, in our words."""
    location, kind = _without_type([str(part) for part in detail["loc"]])
    rule = detail["msg"].removeprefix("Value error, ").replace("Input should", "must", 1)
    if detail["type"] == _NO_TYPE:
        return Fault(".".join([*location, "type"]), "", f"must be said: {_TYPES}", said(location)[1])
    if location[-1] == _KEY_ITSELF:
        return Fault(".".join(location[:-1]), "", rule, said(location[:-1])[1])
    if detail["type"] == "missing":
        return Fault(".".join(location), "", "must be said", said(location[:-1])[1])
    if detail["type"] == _OTHER_TYPE:
        location, rule = [*location, "type"], f"must be {_TYPES}"
    key = _key_of(location)
    known = _keys_with(location[1], kind) if len(location) > 1 else {}
    value, source = said(location)
    if detail["type"] == "extra_forbidden":
        rule = _no_setting(key, None, known)
    elif detail["type"] in _NO_SECTION:
        rule = "must be a section, with keys in it"
    secret = known.get(key, key not in known)
    return Fault(".".join(location), "" if value is None else _shown(key, value, secret=secret), rule, source)


def misspelt_variables(names: Iterable[str]) -> Iterator[Fault]:
    """Variables that look like settings and are none, which pydantic-settings would pass over in silence."""
    known = [variable(key) for key in keys()]
    for name in sorted(names):
        upper = name.upper()
        section, nested, _ = upper.removeprefix(PREFIX).partition("__")
        meant = next(filter(None, (_with_single(upper, each) for each in known)), None)
        unknown_section = nested and section.lower() not in Settings.model_fields
        if upper.startswith(PREFIX) and (meant or unknown_section):
            yield Fault(name, "", _no_setting(upper, meant, known), "environment")


def _with_single(said: str, known: str) -> str | None:
    """The variable that was meant, if `said` is it with single underscores where double ones belong."""
    if "__" in said:
        return None
    before, named, after = known.partition(f"__{NAME}__")
    if not named:
        return known if said == known.replace("__", "_") else None
    found = re.fullmatch(f"{before}_([A-Z0-9_]+)_{after}", said)
    return f"{before}__{found[1]}__{after}" if found else None


def _without_type(location: list[str]) -> tuple[list[str], str | None]:
    """A location as the user has it, and the type of the source in it: pydantic says that after the source's name."""
    if location[0] == "sources" and len(location) > _AFTER_NAME and location[_AFTER_NAME] in SOURCE_TYPES:
        return location[:_AFTER_NAME] + location[_AFTER_NAME + 1 :], location[_AFTER_NAME]
    return location, None


def _keys_with(name: str, kind: str | None) -> dict[str, bool]:
    """The keys, with a source's own name in them, and whether each is secret; of sources those of one type, or all."""
    known = keys() if kind is None else source_keys(kind)
    return {key.replace(f".{NAME}.", f".{name}."): secret for key, secret in known.items()}


def _key_of(location: Sequence[str]) -> str:
    """The key in which a location lies: an item of a list has the list's key."""
    return ".".join(location[: 3 if location[0] == "sources" else 2])


def _no_setting(said: str, meant: str | None, known: Iterable[str]) -> str:
    nearest = meant or next(iter(difflib.get_close_matches(said, known, 1)), None)
    return "is not a setting" + (f"; {nearest} is" if nearest else "")


def _shown(key: str, value: object, *, secret: bool) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    # A URL may hold a password where none is allowed.
    return MASK if secret or ("@" in text and ("//" in text or key.endswith(("url", "servers")))) else text
