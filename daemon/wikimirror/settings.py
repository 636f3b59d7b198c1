"""Typed settings: file < secrets directory < environment < flags, with all faults told at once.

The file is TOML. `config/wikimirror.toml` documents every key; it holds the defaults, and a test keeps it so.
An environment variable is `WIKIMIRROR_` + section + `__` + key; an empty one counts as not set. A secrets directory
(`WIKIMIRROR_SECRETS_DIR`) holds one file per key, named section + `__` + key, as Kubernetes and Docker mount them.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from wikimirror.errors import ConfigurationError

PREFIX: Final = "WIKIMIRROR_"
CONFIG_VARIABLE: Final = "WIKIMIRROR_CONFIG"
SECRETS_VARIABLE: Final = "WIKIMIRROR_SECRETS_DIR"
MASK: Final = "********"

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES: Final = {"MiB": 1024**2, "KiB": 1024, "B": 1}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


def parse_duration(value: object) -> timedelta:
    """A duration from a text with a unit. Raises ValueError, whose text is the rule."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        if found is None:
            raise ValueError('must be a number with a unit: "250ms", "30s", "5m", "12h" or "90d"')
        return timedelta(seconds=float(found[1]) * _UNITS[found[2]])
    if isinstance(value, timedelta):
        return value
    raise ValueError('must be a text with a unit, such as "30s"')


def _as_said(value: object) -> object:
    match value:
        case timedelta():
            unit, size = next((u, n) for u, n in reversed(_UNITS.items()) if (value.total_seconds() / n).is_integer())
            return f"{round(value.total_seconds() / size)}{unit}"
        case ByteSize():
            unit, size = next((u, n) for u, n in _SIZES.items() if value % n == 0)
            return f"{value // size}{unit}"
        case tuple():
            return list(value)
        case Path():
            return str(value)
        case _:
            return value


def _keep(value: object) -> object:
    return None if value is None or value == "forever" else parse_duration(value)


def _listed(value: object) -> object:
    """A list from the environment: JSON, or values between commas; `all` is the empty list."""
    if not isinstance(value, str):
        return value
    if value.strip().startswith("["):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            raise ValueError("must be a JSON list or values between commas") from None
    return [] if value.strip() == "all" else [item.strip() for item in value.split(",") if item.strip()]


def _wiki(value: str) -> str:
    if re.fullmatch(r"[a-z][a-z0-9_]*", value) is None:
        raise ValueError("must be a wiki's database name, such as enwiki")
    return value


def _url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("must be a URL that begins with postgresql://")
    return value


def _file(value: Path) -> Path:
    if not value.is_file():
        raise ValueError("must be a file that is there")
    return value


def _schema(value: str) -> str:
    longest = 63
    if not value or "\0" in value or len(value.encode("utf-8", "replace")) > longest:
        raise ValueError("must be a name of 1 to 63 bytes")
    if value.startswith("pg_") or value == "information_schema":
        raise ValueError("must not be one of Postgres's own schemas")
    return value


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Wiki = Annotated[str, AfterValidator(_wiki)]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True, populate_by_name=True
    )


class PostgresSettings(_Section):
    """Where the mirror is."""

    url: Annotated[SecretStr, AfterValidator(_url)] | None = None
    schema_name: Annotated[str, Field(alias="schema"), AfterValidator(_schema)] = "wikimirror"
    password_file: Annotated[Path, AfterValidator(_file)] | None = None
    statement_timeout: Annotated[Duration, Field(ge=timedelta(milliseconds=100))] = timedelta(seconds=60)
    lock_timeout: Annotated[Duration, Field(ge=timedelta(milliseconds=10))] = timedelta(seconds=5)


class ScopeSettings(_Section):
    """What is mirrored. Empty means all. A retraction applies whatever the scope."""

    wikis: Annotated[tuple[Wiki, ...], BeforeValidator(_listed)] = ()
    namespaces: Annotated[tuple[int, ...], BeforeValidator(_listed)] = ()


class HistorySettings(_Section):
    """What is kept of revisions that are no longer current."""

    bodies: Literal["current", "all"] = "current"


class LawSettings(_Section):
    """The merge law's one number (L1)."""

    skew_seconds: Annotated[int, Field(ge=0, le=86400)] = 300


class ApplySettings(_Section):
    """When a batch is full."""

    batch_records: Annotated[int, Field(ge=1, le=100_000)] = 2000
    batch_bytes: Annotated[ByteSize, Field(ge=64 * 1024, le=1024**3)] = ByteSize(8 * 1024 * 1024)
    batch_age_ms: Annotated[int, Field(ge=1, le=60_000)] = 250


class LedgerSettings(_Section):
    """How long the ledger (`change`) is kept. None is forever; no correctness depends on it."""

    keep: Annotated[Annotated[timedelta, Field(ge=timedelta(days=1))] | None, BeforeValidator(_keep)] = timedelta(
        days=90
    )


class LogSettings(_Section):
    """What the program says while it runs, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Settings(BaseSettings):
    """All settings, checked. Made by `load`; parts are handed to what needs them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        enable_decoding=False,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    postgres: PostgresSettings = PostgresSettings()
    scope: ScopeSettings = ScopeSettings()
    history: HistorySettings = HistorySettings()
    law: LawSettings = LawSettings()
    apply: ApplySettings = ApplySettings()
    ledger: LedgerSettings = LedgerSettings()
    log: LogSettings = LogSettings()

    def told(self) -> dict[str, object]:
        """Every key with its value as the file would say it; secrets are masked, what is not set is None."""
        found: dict[str, object] = {}
        for key, secret in keys().items():
            section, name = key.split(".")
            fields = type(getattr(self, section)).model_fields
            attribute = next(field for field, info in fields.items() if (info.alias or field) == name)
            value = getattr(getattr(self, section), attribute)
            found[key] = MASK if secret and value is not None else _as_said(value)
        found["ledger.keep"] = found["ledger.keep"] or "forever"
        return found


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

    def __init__(self, faults: Sequence[Fault]) -> None:
        count = f"{len(faults)} settings" if len(faults) != 1 else "A setting"
        super().__init__(f"{count} cannot be used:\n" + "\n".join(f"  {fault}" for fault in faults))
        self.faults = tuple(faults)


def load(path: Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """Reads the settings: from `path` (or `WIKIMIRROR_CONFIG`), the secrets directory, the environment, and `flags`.

    `flags` maps a key such as `postgres.url` to its value; None is left out. Raises InvalidSettings with every fault.
    """
    if path is None and os.environ.get(CONFIG_VARIABLE):
        path = Path(os.environ[CONFIG_VARIABLE])
    said = {
        "flag": _nested({key: value for key, value in (flags or {}).items() if value is not None}),
        "secrets directory": _read_secrets(os.environ.get(SECRETS_VARIABLE)),
        f"file {path}": _read_file(path),
    }
    flag, secret, file = said.values()
    misspelt = list(_misspelt_variables())
    try:
        found = _bound(secret, file)(**flag)
    except ValidationError as error:
        faults = [_fault(detail, said) for detail in error.errors(include_url=False, include_context=False)]
        raise InvalidSettings([*misspelt, *faults]) from None
    if misspelt:
        raise InvalidSettings(misspelt)
    return Settings.model_construct(found.model_fields_set, **dict(found))


def keys() -> dict[str, bool]:
    """Every key as `section.key`, with whether it is secret."""
    found = {}
    for section, outer in Settings.model_fields.items():
        for name, inner in cast("type[BaseModel]", outer.annotation).model_fields.items():
            found[f"{section}.{inner.alias or name}"] = "SecretStr" in str(inner.annotation)
    return found


def variable(key: str) -> str:
    """The environment variable of a key: `postgres.url` is `WIKIMIRROR_POSTGRES__URL`."""
    return PREFIX + key.replace(".", "__").upper()


def _bound(secret: dict[str, Any], file: dict[str, Any]) -> type[Settings]:
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
            read = (InitSettingsSource(settings_cls, init_kwargs=source) for source in (secret, file))
            return init_settings, env_settings, *read

    return Bound


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


def _read_secrets(directory: str | None) -> dict[str, Any]:
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
    return _nested(found)


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, name = key.partition(".")
        if name:
            tree.setdefault(section, {})[name] = value
        else:
            tree[section] = value
    return tree


def _misspelt_variables() -> Iterator[Fault]:
    """Variables that look like settings and are none, which pydantic-settings would pass over in silence."""
    known = {variable(key): key for key in keys()}
    single = {name.replace("__", "_"): name for name in known}
    for name in sorted(os.environ):
        upper = name.upper()
        section, nested, _ = upper.removeprefix(PREFIX).partition("__")
        unknown_section = nested and section.lower() not in Settings.model_fields
        if upper.startswith(PREFIX) and (upper in single or unknown_section):
            yield Fault(name, "", _no_setting(upper, single.get(upper), known), "environment")


def _no_setting(said: str, meant: str | None, known: Iterable[str]) -> str:
    nearest = meant or next(iter(difflib.get_close_matches(said, known, 1)), None)
    return "is not a setting" + (f"; {nearest} is" if nearest else "")


def _fault(detail: ErrorDetails, said: Mapping[str, Mapping[str, Any]]) -> Fault:
    """One of pydantic's findings, in our words."""
    location = [str(part) for part in detail["loc"]]
    key = ".".join(location[:2])
    value, source = _said(location, said)
    known = keys()
    secret = known.get(key, key not in known and value is not None)
    if detail["type"] == "extra_forbidden":
        rule = _no_setting(key, None, known)
    else:
        rule = detail["msg"].removeprefix("Value error, ").replace("Input should", "must", 1)
    shown = "" if value is None else MASK if secret else json.dumps(value, default=str, ensure_ascii=False)
    return Fault(".".join(location), shown, rule, source)


def _said(location: list[str], said: Mapping[str, Mapping[str, Any]]) -> tuple[object, str]:
    """The raw value at a location and the source that gave it, looked up in the order of precedence."""
    name = variable(".".join(location[:2]))
    from_environment = next((value for key, value in os.environ.items() if key.upper() == name and value), None)
    for source, tree in said.items():
        if source == "secrets directory" and from_environment is not None:
            return from_environment, f"environment {name}"
        value: object = tree
        for part in location:
            if isinstance(value, Mapping) and part in value:
                value = value[part]
            elif isinstance(value, list) and part.isdigit():
                value = value[int(part)]
            else:
                break
        else:
            return value, source
    return None, "default"
