"""Where settings come from: flags, environment, secrets directory and file, each as it says them, unchecked."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wikimirror.settings.faults import Fault, InvalidSettings
from wikimirror.settings.sections import PREFIX, variable

CONFIG_VARIABLE: Final = "WIKIMIRROR_CONFIG"
SECRETS_VARIABLE: Final = "WIKIMIRROR_SECRETS_DIR"


@dataclass(frozen=True)
class Origins:
    """What each origin says: sections, in them keys. Two are equal if the same was said.

    `environment` is for telling who said what: pydantic-settings reads it by itself.
    """

    flags: Mapping[str, Any]
    environment: Mapping[str, Any]
    secrets: Mapping[str, Any]
    file: Mapping[str, Any]
    secrets_directory: str
    file_path: Path | None

    def said(self, location: Sequence[str]) -> tuple[object, str]:
        """The raw value at a location, or the one in whose place it would be, and who said it. None: nobody did."""
        for tree in (self.flags, self.environment, self.secrets, self.file):
            found = _walk(tree, location)
            if found is not None:
                value, depth = found
                return value, self._who(tree, ".".join(location[:depth]) + (".…" if isinstance(value, Mapping) else ""))
        return None, "default"

    def _who(self, tree: Mapping[str, Any], key: str) -> str:
        if tree is self.flags:
            return "flag"
        if tree is self.environment:
            return f"environment {variable(key)}"
        if tree is self.secrets:
            return f"secrets directory file {self.secrets_directory}/{key.replace('.', '__')}"
        return f"file {self.file_path}"


def read_origins(path: Path | None, flags: Mapping[str, Any]) -> Origins:
    """Reads the file at `path` (or `WIKIMIRROR_CONFIG`) and all else. Raises InvalidSettings for what is unreadable.

    `flags` maps a key such as `postgres.url` to its value; None is left out.
    """
    if path is None and os.environ.get(CONFIG_VARIABLE):
        path = Path(os.environ[CONFIG_VARIABLE])
    directory = os.environ.get(SECRETS_VARIABLE, "")
    return Origins(
        flags=_nested({key: value for key, value in flags.items() if value is not None}),
        environment=_nested(_variables()),
        secrets=_nested(_read_secrets(directory)),
        file=_read_file(path),
        secrets_directory=directory,
        file_path=path,
    )


def _variables() -> dict[str, str]:
    """Our variables by their keys. They may be written in any case, as pydantic-settings takes them."""
    return {
        name.upper().removeprefix(PREFIX).lower().replace("__", "."): value
        for name, value in os.environ.items()
        if name.upper().startswith(PREFIX) and value
    }


def _read_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidSettings([Fault(str(path), "", f"cannot be read: {error.strerror}", "file")]) from None
    except UnicodeDecodeError:
        raise InvalidSettings([Fault(str(path), "", "is not UTF-8", "file")]) from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings([Fault(str(path), "", f"is not TOML: {error}", "file")]) from None


def _read_secrets(directory: str) -> dict[str, str]:
    if not directory:
        return {}
    found = {}
    try:
        for path in sorted(Path(directory).iterdir()):
            # Kubernetes keeps its own links beside the files, under names with a leading dot.
            if not path.name.startswith(".") and path.is_file():
                found[path.name.replace("__", ".")] = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "a file is not UTF-8"
        raise InvalidSettings([Fault(SECRETS_VARIABLE, directory, f"cannot be read: {why}", "environment")]) from None
    return found


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`. Of a value and keys within it, the value counts: it is a fault to be told."""
    tree: dict[str, Any] = {}
    for key, value in sorted(flat.items(), key=lambda item: item[0].count(".")):
        *sections, name = key.split(".")
        place: Any = tree
        for section in sections:
            place = place.setdefault(section, {}) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place[name] = value
    return tree


def _walk(tree: Mapping[str, Any], location: Sequence[str]) -> tuple[object, int] | None:
    """What is found on the way to a location, and how far the way goes; None if it ends in a section without it."""
    value: object = tree
    for depth, part in enumerate(location):
        if isinstance(value, Mapping):
            if part not in value:
                return None
            value = value[part]
        elif isinstance(value, list) and part.isdigit():
            value = value[int(part)]
        else:
            return value, depth
    return value, len(location)
