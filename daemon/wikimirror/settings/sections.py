"""The settings as models: a section each, its keys, their defaults and their bounds.

`config/wikimirror.toml` says what each key is for, and what too low and too high do.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from wikimirror.settings import values
from wikimirror.settings.values import Address

PREFIX: Final = "WIKIMIRROR_"
MASK: Final = "********"
NAME: Final = "NAME"
"""Stands in a key for the name that the user gave to a source: `sources.NAME.url`."""

_MILLISECOND: Final = timedelta(milliseconds=1)
_SECOND: Final = timedelta(seconds=1)
_HOUR: Final = timedelta(hours=1)
_KIB: Final = 1024
_MIB: Final = 1024**2
_GIB: Final = 1024**3
_NONE: Final = {"ledger.keep": "forever", "admin.listen": "off"}
"""How None is said where it is a choice."""

Duration = Annotated[timedelta, BeforeValidator(values.parse_duration)]
Wiki = Annotated[str, AfterValidator(values.check_wiki)]
Names = Annotated[
    tuple[Annotated[str, AfterValidator(values.check_topic_part)], ...],
    BeforeValidator(values.parse_list),
    AfterValidator(values.check_distinct),
]
SourceName = Annotated[str, AfterValidator(values.check_source_name)]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True, populate_by_name=True
    )


class PostgresSettings(_Section):
    """Where the mirror is."""

    url: Annotated[SecretStr, AfterValidator(values.check_database_url)] | None = None
    schema_name: Annotated[str, Field(alias="schema"), AfterValidator(values.check_schema)] = "wikimirror"
    password_file: Annotated[Path, AfterValidator(values.check_file)] | None = None
    statement_timeout: Annotated[Duration, Field(ge=100 * _MILLISECOND)] = timedelta(seconds=60)
    lock_timeout: Annotated[Duration, Field(ge=10 * _MILLISECOND)] = timedelta(seconds=5)


class HttpSettings(_Section):
    """How the program presents itself to web servers."""

    contact: Annotated[str, AfterValidator(values.check_contact)] | None = None
    """A mail address or a URL. `require_runnable` asks for it."""


class EventStreamsSettings(_Section):
    """A source that speaks as Wikimedia's public EventStreams does.

    Its lanes are the topics `<datacentre>.<stream>`, each with the one partition 0.
    """

    type: Literal["eventstreams"]
    url: Annotated[str, AfterValidator(values.check_base_url)] = "https://stream.wikimedia.org"
    """Without a slash at its end."""
    streams: Names = ("mediawiki.page_change.v1", "mediawiki.revision-visibility-change")
    datacentres: Names = ("eqiad", "codfw")
    start: Annotated[Literal["latest", "earliest"] | datetime, BeforeValidator(values.parse_start)] = "latest"
    """An instant is in UTC."""
    on_gap: Literal["continue", "halt"] = "continue"
    retention: Annotated[Duration, Field(ge=_SECOND, le=timedelta(days=366))] = timedelta(days=7)
    overlap: Annotated[Duration, Field(ge=timedelta(0))] = timedelta(seconds=120)
    idle_timeout: Annotated[Duration, Field(ge=_SECOND, le=_HOUR)] = timedelta(minutes=3)
    connect_timeout: Annotated[Duration, Field(ge=100 * _MILLISECOND, le=timedelta(minutes=5))] = timedelta(seconds=10)
    record_bytes: Annotated[ByteSize, Field(ge=_KIB, le=_GIB)] = ByteSize(20 * _MIB)

    @field_validator("overlap")
    @classmethod
    def _within_retention(cls, overlap: timedelta, info: ValidationInfo) -> timedelta:
        retention = info.data.get("retention")
        if retention is not None and overlap >= retention:
            raise ValueError(f"must be shorter than retention, which is {values.said(retention)}")
        return overlap


SourceSettings = EventStreamsSettings
"""One source. Its `type` says which model it is; a second one makes this a union discriminated by `type`."""


class ScopeSettings(_Section):
    """What is mirrored. Empty means all. A retraction applies whatever the scope."""

    wikis: Annotated[tuple[Wiki, ...], BeforeValidator(values.parse_list)] = ()
    namespaces: Annotated[tuple[int, ...], BeforeValidator(values.parse_list)] = ()


class HistorySettings(_Section):
    """What is kept of revisions that are no longer current."""

    bodies: Literal["current", "all"] = "current"


class LawSettings(_Section):
    """The merge law's one number (L1)."""

    skew_seconds: Annotated[int, Field(ge=0, le=86400)] = 300


class MemorySettings(_Section):
    """What may wait between reading and applying, all sources together."""

    bytes: Annotated[ByteSize, Field(ge=_MIB, le=64 * _GIB)] = ByteSize(32 * _MIB)
    """No relation to a source's `record_bytes`: a record or batch that is larger passes alone."""


class ApplySettings(_Section):
    """When a batch is full."""

    batch_records: Annotated[int, Field(ge=1, le=100_000)] = 2000
    batch_bytes: Annotated[ByteSize, Field(ge=64 * _KIB, le=_GIB)] = ByteSize(8 * _MIB)
    batch_age_ms: Annotated[int, Field(ge=1, le=60_000)] = 20


class LeaseSettings(_Section):
    """How long a daemon that has gone silent keeps its sources."""

    duration: Annotated[Duration, Field(ge=500 * _MILLISECOND, le=timedelta(seconds=60))] = timedelta(seconds=6)
    """Below 2 s is for tests."""


class RetrySettings(_Section):
    """How attempts follow each other while a source or Postgres cannot be used."""

    longest: Annotated[Duration, Field(ge=10 * _MILLISECOND, le=_HOUR)] = timedelta(seconds=30)


class RunSettings(_Section):
    """How `run` ends."""

    drain_timeout: Annotated[Duration, Field(ge=100 * _MILLISECOND, le=_HOUR)] = timedelta(seconds=20)


class LedgerSettings(_Section):
    """How long the ledger (`change`) is kept. None is forever; no correctness depends on it."""

    keep: Annotated[Annotated[timedelta, Field(ge=timedelta(days=1))] | None, BeforeValidator(values.parse_keep)] = (
        timedelta(days=90)
    )


class AdminSettings(_Section):
    """Where probes and metrics are served."""

    listen: Annotated[Address | None, BeforeValidator(values.parse_listen)] = Address("127.0.0.1", 9470)
    """None: nowhere."""


class HealthSettings(_Section):
    """When the probes and the status speak of trouble."""

    stalled_after: Annotated[Duration, Field(ge=100 * _MILLISECOND, le=_HOUR)] = timedelta(minutes=2)
    silent_after: Annotated[Duration, Field(ge=100 * _MILLISECOND, le=timedelta(days=1))] = timedelta(minutes=5)
    behind_after: Annotated[Duration, Field(ge=100 * _MILLISECOND, le=timedelta(days=7))] = timedelta(seconds=60)


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
    http: HttpSettings = HttpSettings()
    sources: dict[SourceName, SourceSettings] = {}
    scope: ScopeSettings = ScopeSettings()
    history: HistorySettings = HistorySettings()
    law: LawSettings = LawSettings()
    memory: MemorySettings = MemorySettings()
    apply: ApplySettings = ApplySettings()
    lease: LeaseSettings = LeaseSettings()
    retry: RetrySettings = RetrySettings()
    run: RunSettings = RunSettings()
    ledger: LedgerSettings = LedgerSettings()
    admin: AdminSettings = AdminSettings()
    health: HealthSettings = HealthSettings()
    log: LogSettings = LogSettings()

    def told(self) -> dict[str, object]:
        """Every key with its value as the file would say it; secrets are masked, what is not set is None."""
        found: dict[str, object] = {}
        for place, section in self._sections():
            for attribute, name, secret in _keys_of(type(section)):
                value = getattr(section, attribute)
                key = f"{place}.{name}"
                found[key] = MASK if secret and value is not None else values.said(value)
                if value is None:
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
    found = {}
    for section, field in Settings.model_fields.items():
        named = section == "sources"
        model = SourceSettings if named else cast("type[BaseModel]", field.annotation)
        for _, name, secret in _keys_of(model):
            found[f"{section}.{NAME}.{name}" if named else f"{section}.{name}"] = secret
    return found


def variable(key: str) -> str:
    """The environment variable of a key: `postgres.url` is `WIKIMIRROR_POSTGRES__URL`."""
    return PREFIX + key.replace(".", "__").upper()


def _keys_of(model: type[BaseModel]) -> Iterator[tuple[str, str, bool]]:
    """Each field's attribute, its name as a key, and whether it is secret."""
    for attribute, field in model.model_fields.items():
        yield attribute, field.alias or attribute, "SecretStr" in str(field.annotation)
