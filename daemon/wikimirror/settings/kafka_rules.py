"""Rules between the keys of a Kafka source, each checked at the later of its keys: there the fault is told.

A rule gets the key's value and the checked values of the keys before it. It raises ValueError, whose text is the rule
in words, or KeyError where a key before it is at fault itself and nothing can be said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from wikimirror.settings import values

Rule = Callable[[Any, Mapping[str, Any]], None]

_TLS: Final = {"ssl", "sasl_ssl"}
_SASL: Final = {"sasl_plaintext", "sasl_ssl"}
_BY_PASSWORD: Final = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}


def _pattern(pattern: str | None, before: Mapping[str, Any]) -> None:
    _one_of(pattern, before["topics"] or None, "topics", needed_by="a source")


def _dialects(dialects: Mapping[str, str], before: Mapping[str, Any]) -> None:
    topics = before["topics"]
    unread = sorted(set(dialects).difference(topics)) if topics else []
    if unread:
        raise ValueError(f"must name only what topics names, which {', '.join(unread)} is not")


def _with_tls(value: object, before: Mapping[str, Any]) -> None:
    _only_with(value, "security_protocol", 'is "ssl" or "sasl_ssl"', holds=before["security_protocol"] in _TLS)


def _key_file(path: object, before: Mapping[str, Any]) -> None:
    _with_tls(path, before)
    certificate = before["certificate_file"] is not None
    _only_with(path, "certificate_file", "is said", holds=certificate)
    _needed(path, "certificate_file", holds=certificate)


def _key_password(password: object, before: Mapping[str, Any]) -> None:
    _only_with(password, "key_file", "is said", holds=before["key_file"] is not None)


def _mechanism(mechanism: str | None, before: Mapping[str, Any]) -> None:
    protocol = before["security_protocol"]
    _only_with(mechanism, "security_protocol", 'is "sasl_ssl" or "sasl_plaintext"', holds=protocol in _SASL)
    _needed(mechanism, f'security_protocol = "{protocol}"', holds=protocol in _SASL)


def _with_password(value: object, before: Mapping[str, Any]) -> None:
    _only_with(value, "sasl_mechanism", "is PLAIN or SCRAM", holds=before["sasl_mechanism"] in _BY_PASSWORD)


def _username(name: str | None, before: Mapping[str, Any]) -> None:
    _with_password(name, before)
    mechanism = before["sasl_mechanism"]
    _needed(name, str(mechanism), holds=mechanism in _BY_PASSWORD)


def _password_file(path: object, before: Mapping[str, Any]) -> None:
    _with_password(path, before)
    mechanism = before["sasl_mechanism"]
    _one_of(path, before["password"], "password", needed_by=mechanism if mechanism in _BY_PASSWORD else None)


def _with_token(value: object, before: Mapping[str, Any]) -> None:
    _only_with(value, "sasl_mechanism", "is OAUTHBEARER", holds=before["sasl_mechanism"] == "OAUTHBEARER")


def _token_url(url: str | None, before: Mapping[str, Any]) -> None:
    _with_token(url, before)
    mechanism = before["sasl_mechanism"]
    _one_of(url, before["token_file"], "token_file", needed_by=mechanism if mechanism == "OAUTHBEARER" else None)


def _with_token_url(value: object, before: Mapping[str, Any]) -> None:
    _only_with(value, "token_url", "is said", holds=before["token_url"] is not None)


def _client_id(name: str | None, before: Mapping[str, Any]) -> None:
    _with_token_url(name, before)
    _needed(name, "token_url", holds=before["token_url"] is not None)


def _client_secret_file(path: object, before: Mapping[str, Any]) -> None:
    _with_token_url(path, before)
    needed = None if before["token_url"] is None else "token_url"
    _one_of(path, before["token_client_secret"], "token_client_secret", needed_by=needed)


def _session(timeout: Any, before: Mapping[str, Any]) -> None:
    # A heartbeat is a request: one that hangs must be given up, and sent again, within the session.
    if timeout <= before["request_timeout"]:
        raise ValueError(f"must be longer than request_timeout, which is {values.said(before['request_timeout'])}")


def _rebalance(timeout: Any, before: Mapping[str, Any]) -> None:
    # Otherwise a rebalance casts out a member that was silent for less than its session allows.
    if timeout < before["session_timeout"]:
        raise ValueError(f"must not be shorter than session_timeout, which is {values.said(before['session_timeout'])}")


def _idle(timeout: Any, before: Mapping[str, Any]) -> None:
    # A fetch that is still in time is no silence.
    if timeout < before["request_timeout"]:
        raise ValueError(f"must not be shorter than request_timeout, which is {values.said(before['request_timeout'])}")


RULES: Final[Mapping[str, Rule]] = {
    "topic_pattern": _pattern,
    "dialects": _dialects,
    "ca_file": _with_tls,
    "certificate_file": _with_tls,
    "key_file": _key_file,
    "key_password": _key_password,
    "sasl_mechanism": _mechanism,
    "username": _username,
    "password": _with_password,
    "password_file": _password_file,
    "token_file": _with_token,
    "token_url": _token_url,
    "token_client_id": _client_id,
    "token_client_secret": _with_token_url,
    "token_client_secret_file": _client_secret_file,
    "token_scope": _with_token_url,
    "session_timeout": _session,
    "rebalance_timeout": _rebalance,
    "idle_timeout": _idle,
}
"""By key."""


def _only_with(value: object, key: str, state: str, *, holds: bool) -> None:
    if value is not None and not holds:
        raise ValueError(f"must be said only where {key} {state}")


def _needed(value: object, by: str, *, holds: bool) -> None:
    if value is None and holds:
        raise ValueError(f"must be said: {by} needs it")


def _one_of(value: object, other: object, name: str, *, needed_by: str | None) -> None:
    if value is not None and other is not None:
        raise ValueError(f"must not be said beside {name}")
    if value is None and other is None and needed_by is not None:
        raise ValueError(f"must be said, or {name}: {needed_by} needs one of them")
