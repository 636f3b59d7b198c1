"""Typed settings. `load` reads them from file, secrets directory, environment and flags; `Settings` holds them."""

from __future__ import annotations

from wikimirror.settings.faults import Fault, InvalidSettings
from wikimirror.settings.loading import Told, explain, load
from wikimirror.settings.origins import CONFIG_VARIABLE, SECRETS_VARIABLE
from wikimirror.settings.reloading import Reloaded, Reloader
from wikimirror.settings.runnable import require_runnable
from wikimirror.settings.sections import (
    MASK,
    NAME,
    PREFIX,
    AdminSettings,
    ApplySettings,
    EventStreamsSettings,
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
    keys,
    variable,
)
from wikimirror.settings.values import Address, parse_duration

__all__ = [
    "CONFIG_VARIABLE",
    "MASK",
    "NAME",
    "PREFIX",
    "SECRETS_VARIABLE",
    "Address",
    "AdminSettings",
    "ApplySettings",
    "EventStreamsSettings",
    "Fault",
    "HealthSettings",
    "HistorySettings",
    "HttpSettings",
    "InvalidSettings",
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
    "Told",
    "explain",
    "keys",
    "load",
    "parse_duration",
    "require_runnable",
    "variable",
]
