"""Values as settings say them: how each is read from text, which rule it must keep, and how it is said again.

A parser raises ValueError, whose text is the rule in words.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import ByteSize, SecretStr

_MILLISECONDS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_SIZES: Final = {"MiB": 1024**2, "KiB": 1024, "B": 1}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_LISTEN: Final = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:\[\]/]+)):(\d{1,5})")
_ATOM: Final = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+"
_MAIL: Final = re.compile(rf"(?:mailto:)?{_ATOM}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_LONGEST_NAME: Final = 63
"""Postgres's own limit for names."""
_CAPTURE: Final = "capture"
"""`wire.CAPTURE`, which is not to be imported from here; a test compares."""
_GREATEST_PORT: Final = 65535
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
"""Of SASL, as brokers name it."""
_MECHANISMS: Final = get_args(Mechanism)


class Address(NamedTuple):
    """A host and a TCP port to listen at. Port 0 is any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_duration(value: object) -> timedelta:
    """A duration from a text with a unit, in whole milliseconds. Raises ValueError, whose text is the rule."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        if found is None:
            raise ValueError('must be a number with a unit: "250ms", "30s", "5m", "12h" or "90d"')
        try:
            return timedelta(milliseconds=round(float(found[1]) * _MILLISECONDS[found[2]]))
        except OverflowError:
            raise ValueError("must be a shorter time") from None
    if isinstance(value, timedelta):
        return value
    raise ValueError('must be a text with a unit, such as "30s"')


def parse_keep(value: object) -> timedelta | None:
    """A duration, or None for `forever`."""
    return None if value is None or value == "forever" else parse_duration(value)


def parse_list(value: object) -> object:
    """A list from the environment: JSON, or values between commas; `all` is the empty list."""
    if not isinstance(value, str):
        return value
    if value.strip().startswith("["):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            raise ValueError("must be a JSON list or values between commas") from None
    return [] if value.strip() == "all" else [item.strip() for item in value.split(",") if item.strip()]


def parse_pairs(value: object) -> object:
    """Pairs from the environment: name=value between commas."""
    if not isinstance(value, str):
        return value
    pairs = [item.partition("=") for item in value.split(",") if item.strip()]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError("must be a table, or name=value between commas")
    return {name.strip(): meant.strip() for name, _, meant in pairs}


def parse_start(value: object) -> Literal["latest", "earliest"] | datetime:
    """Where reading starts: a word, or an instant of RFC 3339 with its zone, which TOML can also hold bare."""
    match value:
        case "latest" | "earliest":
            return value
        case datetime() if value.tzinfo is not None:
            return value.astimezone(UTC)
        case str() if _INSTANT.fullmatch(value):
            try:
                return datetime.fromisoformat(value.upper()).astimezone(UTC)
            except (ValueError, OverflowError):
                pass
    raise ValueError('must be "latest", "earliest" or an instant with its zone, such as "2026-09-01T12:00:00Z"')


def parse_listen(value: object) -> Address | None:
    """Where to listen, or None for `off`."""
    if value is None or value == "off":
        return None
    if isinstance(value, Address):
        return value
    found = _LISTEN.fullmatch(value) if isinstance(value, str) else None
    if found is None or int(found[3]) > _GREATEST_PORT:
        raise ValueError('must be host:port, such as "127.0.0.1:9470", "[::1]:9470" or "0.0.0.0:9470", or "off"')
    return Address(found[1] or found[2], int(found[3]))


def check_wiki(value: str) -> str:
    """A wiki's database name."""
    if re.fullmatch(r"[a-z][a-z0-9_]*", value) is None:
        raise ValueError("must be a wiki's database name, such as enwiki")
    return value


def check_database_url(value: SecretStr) -> SecretStr:
    """A URL of Postgres."""
    if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("must be a URL that begins with postgresql://")
    return value


def check_file(value: Path) -> Path:
    """A file that is there."""
    if not value.is_file():
        raise ValueError("must be a file that is there")
    return value


def check_schema(value: str) -> str:
    """A name that Postgres takes for a schema of ours."""
    if not value or "\0" in value or len(value.encode("utf-8", "replace")) > _LONGEST_NAME:
        raise ValueError("must be a name of 1 to 63 bytes")
    if value.startswith("pg_") or value == "information_schema":
        raise ValueError("must not be one of Postgres's own schemas")
    return value


def check_source_name(value: str) -> str:
    """A name that is a key in TOML and, between double underscores, a part of an environment variable."""
    if re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", value) is None or len(value) > _LONGEST_NAME:
        raise ValueError("must be a name of at most 63 of a-z, 0-9 and single underscores between them")
    if value == _CAPTURE:
        raise ValueError("must be another name: this one is that of recorded captures")
    return value


def check_contact(value: str) -> str:
    """Whom an operator of a source can reach. It is sent in a header, in parentheses, so it is a word without any."""
    web = _web_url(value)
    is_page = web is not None and web.username is None and not set("()") & set(value)
    if not (_MAIL.fullmatch(value) or is_page):
        raise ValueError("must be a mail address, or a URL that begins with https:// or http://, without a password")
    return value


def check_base_url(value: str) -> str:
    """The root of a web server, without its final slash."""
    url = _web_url(value)
    if url is None or url.username is not None or url.path not in {"", "/"} or "?" in value or "#" in value:
        raise ValueError(
            'must be a URL of scheme, host and port alone, such as "https://stream.wikimedia.org":'
            " no path, query, user or password"
        )
    return value.rstrip("/")


def check_topic_part(value: str) -> str:
    """The name of a stream or a datacentre; the two joined by a dot name a topic."""
    if re.fullmatch(r"[a-z0-9._-]+", value) is None:
        raise ValueError("must be a name of a-z, 0-9, dot, underscore and hyphen")
    return value


def check_distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """A list that names something, and nothing twice."""
    if not values:
        raise ValueError("must name at least one")
    return check_each_once(values)


def check_each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    """A list that names nothing twice."""
    if len(set(values)) != len(values):
        raise ValueError("must not name one twice")
    return values


def check_topic(value: str) -> str:
    """A name that Kafka takes for a topic, and for a static member."""
    if re.fullmatch(r"[A-Za-z0-9._-]{1,249}", value) is None or value in {".", ".."}:
        raise ValueError("must be a name of at most 249 of a-z, A-Z, 0-9, dot, underscore and hyphen")
    return value


def whole(pattern: str) -> str:
    """The regular expression that matches what `pattern` matches from beginning to end."""
    return rf"(?:{pattern})\Z"


def check_pattern(value: str) -> str:
    """A regular expression that some name can match."""
    try:
        re.compile(whole(value))
    except re.error as error:
        raise ValueError(f"must be a regular expression: {error}") from None
    if not value:
        raise ValueError("must be a regular expression that matches a name")
    return value


def check_server(value: str) -> str:
    """Where a broker is asked first."""
    found = _LISTEN.fullmatch(value)
    if found is None or not 0 < int(found[3]) <= _GREATEST_PORT:
        raise ValueError('must be host:port, such as "kafka.example.org:9092" or "[2001:db8::1]:9092"')
    return value


def check_mechanism(value: object) -> object:
    """A SASL mechanism. One that is not spoken is refused by its name."""
    if value is None or value in _MECHANISMS:
        return value
    known = f"must be {', '.join(_MECHANISMS[:-1])} or {_MECHANISMS[-1]}"
    if value == "GSSAPI":
        raise ValueError(f"{known}: GSSAPI is Kerberos, whose libraries and tickets this program does not use")
    raise ValueError(f"{known}; no other is spoken")


def check_secret(value: SecretStr) -> SecretStr:
    """A secret of one line."""
    if not value.get_secret_value() or set("\r\n\0") & set(value.get_secret_value()):
        raise ValueError("must be a text of one line, and not empty")
    return value


def check_token_url(value: str) -> str:
    """Where tokens are given: a page of a web server."""
    url = _web_url(value)
    if url is None or url.username is not None or "#" in value:
        raise ValueError("must be a URL that begins with https:// or http://, without a user or password")
    return value


def check_link_base(value: str) -> str:
    """What links begin with: a page of a web server, without its final slash."""
    url = _web_url(value)
    if url is None or url.username is not None or "?" in value or "#" in value:
        raise ValueError("must be a URL that begins with https:// or http://, without a user, password or query")
    return value.rstrip("/")


def said(value: object) -> object:
    """A value as the file would say it."""
    match value:
        case timedelta():
            milliseconds = value // timedelta(milliseconds=1)
            unit = next(unit for unit, size in _MILLISECONDS.items() if milliseconds % size == 0)
            return f"{milliseconds // _MILLISECONDS[unit]}{unit}" if milliseconds else "0s"
        case ByteSize():
            unit, size = next((unit, size) for unit, size in _SIZES.items() if value % size == 0)
            return f"{value // size}{unit}"
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case Address() | Path():
            return str(value)
        case tuple():
            return list(value)
        case _:
            return value


def _web_url(value: str) -> SplitResult | None:
    """The parts of a URL of the web, or None where it is none."""
    if re.fullmatch(r"[!-~]+", value) is None:
        return None
    try:
        url = urlsplit(value)
        usable = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        return None
    return url if usable else None
