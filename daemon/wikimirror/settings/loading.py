"""Settings from their origins: file < secrets directory < environment < flags, with all faults told at once.

The file is TOML. `config/wikimirror.toml` documents every key; it holds the defaults, and a test keeps it so.
An environment variable is `WIKIMIRROR_` + section + `__` + key; for a source its name is between, as in
`WIKIMIRROR_SOURCES__PUBLIC__URL`. An empty one counts as not set. A secrets directory (`WIKIMIRROR_SECRETS_DIR`) holds
one file per key, named section + `__` + key, as Kubernetes and Docker mount them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource

from wikimirror.settings.faults import InvalidSettings, fault_of, misspelt_variables
from wikimirror.settings.origins import Origins, read_origins
from wikimirror.settings.sections import Settings


class Told(NamedTuple):
    """A setting in force: its value as the file would say it, masked if secret, and who said it."""

    value: object
    source: str


def load(path: Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """Reads the settings: from `path` (or `WIKIMIRROR_CONFIG`), the secrets directory, the environment, and `flags`.

    `flags` maps a key such as `postgres.url` to its value; None is left out. Raises InvalidSettings with every fault.
    """
    return checked(read_origins(path, flags or {}))


def explain(path: Path | None = None, flags: Mapping[str, Any] | None = None) -> dict[str, Told]:
    """Every setting in force by its key, and who said it. Arguments and errors are those of `load`."""
    origins = read_origins(path, flags or {})
    told = checked(origins).told()
    return {key: Told(value, origins.said(key.split("."))[1]) for key, value in told.items()}


def checked(origins: Origins) -> Settings:
    """The settings that the origins make together. Raises InvalidSettings with every fault."""
    faults = list(misspelt_variables(os.environ))
    try:
        found = _bound(origins)(**origins.flags)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        raise InvalidSettings([*faults, *(fault_of(detail, origins.said) for detail in details)]) from None
    if faults:
        raise InvalidSettings(faults)
    return Settings.model_construct(found.model_fields_set, **dict(found))


def _bound(origins: Origins) -> type[Settings]:
    class Bound(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - its place in the interface
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - its place in the interface
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            trees = (dict(tree) for tree in (origins.secrets, origins.file))
            return init_settings, env_settings, *(InitSettingsSource(settings_cls, init_kwargs=tree) for tree in trees)

    return Bound
