"""The settings as models: a section each, its keys, their defaults and their bounds.

`config/wikimirror.toml` says what each key is for, and what too low and too high do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from wikimirror.settings import values
from wikimirror.settings.base import GIB, HOUR, KIB, MIB, MILLISECOND, Duration, Section
from wikimirror.settings.eventstreams import EventStreamsSettings
from wikimirror.settings.kafka import KafkaSettings
from wikimirror.settings.values import Address

PREFIX: Final = "WIKIMIRROR_"
MASK: Final = "********"
NAME: Final = "NAME"
"""Stands in a key for the name that the user gave to a source: `sources.NAME.url`."""

_NONE: Final = {"ledger.keep": "forever", "admin.listen": "off"}
"""How None is said where it is a choice."""

Wiki = Annotated[str, AfterValidator(values.check_wiki)]
SourceName = Annotated[str, AfterValidator(values.check_source_name)]


class PostgresSettings(Section):
    """Where the mirror is."""

    url: Annotated[SecretStr, AfterValidator(values.check_database_url)] | None = None
    schema_name: Annotated[str, Field(alias="schema"), AfterValidator(values.check_schema)] = "wikimirror"
    password_file: Annotated[Path, AfterValidator(values.check_file)] | None = None
    statement_timeout: Annotated[Duration, Field(ge=100 * MILLISECOND)] = timedelta(seconds=60)
    lock_timeout: Annotated[Duration, Field(ge=10 * MILLISECOND)] = timedelta(seconds=5)


class HttpSettings(Section):
    """How the program presents itself to web servers."""

    contact: Annotated[str, AfterValidator(values.check_contact)] | None = None
    """A mail address or a URL. `require_runnable` asks for it."""


SourceSettings = Annotated[EventStreamsSettings | KafkaSettings, Field(discriminator="type")]
"""One source. Its `type` says which model it is."""
SOURCE_TYPES: Final[Mapping[str, type[EventStreamsSettings | KafkaSettings]]] = {
    "eventstreams": EventStreamsSettings,
    "kafka": KafkaSettings,
}
"""The model of each type."""


class ScopeSettings(Section):
    """What is mirrored. Empty means all. A retraction applies whatever the scope."""

    wikis: Annotated[tuple[Wiki, ...], BeforeValidator(values.parse_list)] = ()
    namespaces: Annotated[tuple[int, ...], BeforeValidator(values.parse_list)] = ()


class HistorySettings(Section):
    """What is kept of revisions that are no longer current."""

    bodies: Literal["current", "all"] = "current"


class LawSettings(Section):
    """The merge law's one number (L1)."""

    skew_seconds: Annotated[int, Field(ge=0, le=86400)] = 300


class MemorySettings(Section):
    """What may wait between reading and applying, all sources together."""

    bytes: Annotated[ByteSize, Field(ge=MIB, le=64 * GIB)] = ByteSize(32 * MIB)
    """No relation to a source's `record_bytes`: a record or batch that is larger passes alone."""


class ApplySettings(Section):
    """When a batch is full."""

    batch_records: Annotated[int, Field(ge=1, le=100_000)] = 2000
    batch_bytes: Annotated[ByteSize, Field(ge=64 * KIB, le=GIB)] = ByteSize(8 * MIB)
    batch_age_ms: Annotated[int, Field(ge=1, le=60_000)] = 20


class DeadLettersSettings(Section):
    """When so much is set aside that reading stops instead."""

    halt_consecutive: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    """Records in a row. 0: any number."""
    halt_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Of the last `halt_window` records. 1: any share."""
    halt_window: Annotated[int, Field(ge=10, le=1_000_000)] = 1000


class LeaseSettings(Section):
    """How long a daemon that has gone silent keeps its sources."""

    duration: Annotated[Duration, Field(ge=500 * MILLISECOND, le=timedelta(seconds=60))] = timedelta(seconds=6)
    """Below 2 s is for tests."""


class RetrySettings(Section):
    """How attempts follow each other while a source or Postgres cannot be used."""

    longest: Annotated[Duration, Field(ge=10 * MILLISECOND, le=HOUR)] = timedelta(seconds=30)


class RunSettings(Section):
    """How `run` ends."""

    drain_timeout: Annotated[Duration, Field(ge=100 * MILLISECOND, le=HOUR)] = timedelta(seconds=20)


class LedgerSettings(Section):
    """How long the ledger (`change`) is kept. None is forever; no correctness depends on it."""

    keep: Annotated[Annotated[timedelta, Field(ge=timedelta(days=1))] | None, BeforeValidator(values.parse_keep)] = (
        timedelta(days=90)
    )


class AdminSettings(Section):
    """Where probes, metrics and the status page are served, and who sees more of it than numbers."""

    listen: Annotated[Address | None, BeforeValidator(values.parse_listen)] = Address("127.0.0.1", 9470)
    """None: nowhere."""
    token: Annotated[SecretStr, AfterValidator(values.check_secret)] | None = None
    token_file: Annotated[Path, AfterValidator(values.check_file)] | None = None
    """Its first line is the token."""
    runbooks: Annotated[str, AfterValidator(values.check_link_base)] | None = None
    """A URL; the runbook `Name.md` is right below it."""

    @field_validator("token_file")
    @classmethod
    def _not_both(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is not None and info.data.get("token") is not None:
            raise ValueError("must not be said beside token")
        return path


class HealthSettings(Section):
    """When the probes and the status speak of trouble."""

    stalled_after: Annotated[Duration, Field(ge=100 * MILLISECOND, le=HOUR)] = timedelta(minutes=2)
    silent_after: Annotated[Duration, Field(ge=100 * MILLISECOND, le=timedelta(days=1))] = timedelta(minutes=5)
    behind_after: Annotated[Duration, Field(ge=100 * MILLISECOND, le=timedelta(days=7))] = timedelta(seconds=60)


class LogSettings(Section):
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
    http: HttpSettings = HttpSettings()
    sources: dict[SourceName, SourceSettings] = {}
    scope: ScopeSettings = ScopeSettings()
    history: HistorySettings = HistorySettings()
    law: LawSettings = LawSettings()
    memory: MemorySettings = MemorySettings()
    apply: ApplySettings = ApplySettings()
    dead_letters: DeadLettersSettings = DeadLettersSettings()
    lease: LeaseSettings = LeaseSettings()
    retry: RetrySettings = RetrySettings()
    run: RunSettings = RunSettings()
    ledger: LedgerSettings = LedgerSettings()
    admin: AdminSettings = AdminSettings()
    health: HealthSettings = HealthSettings()
    log: LogSettings = LogSettings()

    def told(self) -> dict[str, object]:
        """Every key with its value as the file would say it; secrets are masked, what is not set is None.

        So is a list or table of a source that is empty: unlike an empty scope, it says nothing.
        """
        found: dict[str, object] = {}
        for place, section in self._sections():
            for attribute, name, secret in _keys_of(type(section)):
                value = getattr(section, attribute)
                key = f"{place}.{name}"
                found[key] = MASK if secret and value is not None else values.said(value)
                if value is None or (place.startswith("sources.") and value in ((), {})):
                    found[key] = _NONE.get(key)
        return found

    def _sections(self) -> Iterator[tuple[str, BaseModel]]:
        for name in type(self).model_fields:
            if name == "sources":
                yield from ((f"{name}.{source}", section) for source, section in self.sources.items())
            else:
                yield name, getattr(self, name)


def keys() -> dict[str, bool]:
    """Every key as `section.key` or `sources.NAME.key`, with whether it is secret."""
    found: dict[str, bool] = {}
    for section, field in Settings.model_fields.items():
        if section == "sources":
            for kind in SOURCE_TYPES:
                found |= source_keys(kind)
        else:
            model = cast("type[BaseModel]", field.annotation)
            found |= {f"{section}.{name}": secret for _, name, secret in _keys_of(model)}
    return found


def source_keys(kind: str) -> dict[str, bool]:
    """Every key of a source of this type as `sources.NAME.key`, with whether it is secret."""
    return {f"sources.{NAME}.{name}": secret for _, name, secret in _keys_of(SOURCE_TYPES[kind])}


def secrets_of(model: type[BaseModel]) -> list[str]:
    """The attributes of a section that are secret."""
    return [attribute for attribute, _, secret in _keys_of(model) if secret]


def variable(key: str) -> str:
    """The environment variable of a key: `postgres.url` is `WIKIMIRROR_POSTGRES__URL`."""
    return PREFIX + key.replace(".", "__").upper()


def _keys_of(model: type[BaseModel]) -> Iterator[tuple[str, str, bool]]:
    """Each field's attribute, its name as a key, and whether it is secret."""
    for attribute, field in model.model_fields.items():
        yield attribute, field.alias or attribute, "SecretStr" in str(field.annotation)
