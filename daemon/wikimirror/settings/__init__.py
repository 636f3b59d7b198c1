"""Typed settings. `load` reads them from file, secrets directory, environment and flags; `Settings` holds them."""

from __future__ import annotations

from wikimirror.settings.eventstreams import EventStreamsSettings
from wikimirror.settings.faults import Fault, InvalidSettings
from wikimirror.settings.kafka import KafkaSettings
from wikimirror.settings.loading import Told, explain, load
from wikimirror.settings.origins import CONFIG_VARIABLE, SECRETS_VARIABLE
from wikimirror.settings.reloading import Reloaded, Reloader
from wikimirror.settings.runnable import require_runnable
from wikimirror.settings.sections import (
    MASK,
    NAME,
    PREFIX,
    SOURCE_TYPES,
    AdminSettings,
    ApplySettings,
    DeadLettersSettings,
    HealthSettings,
    HistorySettings,
    HttpSettings,
    LawSettings,
    LeaseSettings,
    LedgerSettings,
    LogSettings,
    MemorySettings,
    PostgresSettings,
    RetrySettings,
    RunSettings,
    ScopeSettings,
    Settings,
    SourceSettings,
    keys,
    source_keys,
    variable,
)
from wikimirror.settings.values import Address, parse_duration, whole

__all__ = [
    "CONFIG_VARIABLE",
    "MASK",
    "NAME",
    "PREFIX",
    "SECRETS_VARIABLE",
    "SOURCE_TYPES",
    "Address",
    "AdminSettings",
    "ApplySettings",
    "DeadLettersSettings",
    "EventStreamsSettings",
    "Fault",
    "HealthSettings",
    "HistorySettings",
    "HttpSettings",
    "InvalidSettings",
    "KafkaSettings",
    "LawSettings",
    "LeaseSettings",
    "LedgerSettings",
    "LogSettings",
    "MemorySettings",
    "PostgresSettings",
    "Reloaded",
    "Reloader",
    "RetrySettings",
    "RunSettings",
    "ScopeSettings",
    "Settings",
    "SourceSettings",
    "Told",
    "explain",
    "keys",
    "load",
    "parse_duration",
    "require_runnable",
    "source_keys",
    "variable",
    "whole",
]
