"""Settings that follow their files: a secret that changes is taken up, everything else waits for a restart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from wikimirror.settings.faults import InvalidSettings
from wikimirror.settings.loading import checked
from wikimirror.settings.origins import Origins, read_origins
from wikimirror.settings.sections import Settings, secrets_of

S = TypeVar("S", bound=BaseModel)


class Reloaded(NamedTuple):
    """The settings in force, and what is to be told of the files. Each thing is told once, when it comes up."""

    settings: Settings
    needs_restart: tuple[str, ...] = ()
    """Keys that the files now say otherwise, and that are taken up only by a restart."""
    fault: InvalidSettings | None = None
    """Why the files cannot be used as they are now; what was read before stays in force."""


class Reloader:
    """Reads the settings, and again whenever a file among their origins says something else.

    Files are compared by what they hold: it does not matter how they are replaced, and Kubernetes does it by one link
    that leads to all of them. Raises InvalidSettings when made, never later.
    """

    def __init__(self, path: Path | None = None, flags: Mapping[str, Any] | None = None) -> None:
        self._path, self._flags = path, dict(flags or {})
        self._origins: Origins | None = read_origins(self._path, self._flags)
        self._settings = checked(self._origins)
        self._first = self._settings.told()
        self._last_told: object = {}

    def current(self) -> Reloaded:
        """The settings as the files say them now. It reads some small files: to be called before each connection."""
        try:
            origins = read_origins(self._path, self._flags)
            if origins == self._origins:
                return Reloaded(self._settings)
            fresh = checked(origins)
        except InvalidSettings as fault:
            self._origins = None
            return Reloaded(self._settings, fault=fault if self._is_news(str(fault)) else None)
        self._origins = origins
        self._settings = _with_secrets(self._settings, fresh)
        differing = _differing(self._first, fresh.told())
        return Reloaded(self._settings, needs_restart=tuple(differing) if self._is_news(differing) else ())

    def _is_news(self, found: object) -> bool:
        last, self._last_told = self._last_told, found
        return found != last


def _with_secrets(settings: Settings, fresh: Settings) -> Settings:
    """The same settings with the secrets of `fresh`."""
    sources = {
        name: _taking(source, fresh.sources[name]) if name in fresh.sources else source
        for name, source in settings.sources.items()
    }
    sections = {name: _taking(getattr(settings, name), getattr(fresh, name)) for name in ("postgres", "admin")}
    return settings.model_copy(update={**sections, "sources": sources})


def _taking(section: S, fresh: BaseModel) -> S:
    """A section with the secrets of another. One that appears or disappears changes more than a secret."""
    if type(section) is not type(fresh):
        return section
    names = [name for name in secrets_of(type(section)) if None not in (getattr(section, name), getattr(fresh, name))]
    return section.model_copy(update={name: getattr(fresh, name) for name in names})


def _differing(first: Mapping[str, object], now: Mapping[str, object]) -> dict[str, object]:
    """What `now` says otherwise than `first`, by key. Secrets are masked in both, so only their presence counts."""
    absent = object()
    return {key: now.get(key) for key in {**first, **now} if first.get(key, absent) != now.get(key, absent)}
