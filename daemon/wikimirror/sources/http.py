"""Outgoing HTTP: who we say we are, whom we trust, how long we wait, and what a failure means in words.

Proxies and private authorities come from the usual variables (HTTPS_PROXY, HTTP_PROXY, NO_PROXY; SSL_CERT_FILE,
SSL_CERT_DIR), read anew for each connection. Errors name the host, never a URL: one may hold a password.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp

from wikimirror.errors import ConfigurationError, SourceUnavailable, let_go
from wikimirror.observe.build import build
from wikimirror.settings.runnable import CONNECTIONS_PER_HOST

LONGEST_RETRY_AFTER: Final = 3600.0
"""Seconds. A server that asks for more is asked again after this."""

_REDIRECTS: Final = 4
_READ_AHEAD: Final = 2**16
"""aiohttp stops reading from the socket at twice this many bytes, until they are taken."""
_POLICY: Final = "https://foundation.wikimedia.org/wiki/Policy:Wikimedia_Foundation_User-Agent_Policy"
_ATOM: Final = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+"
_MAIL: Final = re.compile(rf"(?:mailto:)?{_ATOM}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_PAGE: Final = re.compile(r"https?://[A-Za-z0-9\[][!-'*-~]*")


class Ending(StrEnum):
    """How a connection, or the attempt at one, came to its end."""

    ENDED = "ended"
    """The server closed in good order."""
    STOPPED = "stopped"
    """We left."""
    IDLE = "idle"
    CUT = "cut"
    UNREACHABLE = "unreachable"
    """No connection: name, network, proxy, TLS."""
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    """The server says that it cannot, for now."""
    REFUSED = "refused"
    NOT_A_STREAM = "not_a_stream"
    """Something else answered."""
    ERROR_FRAME = "error_frame"
    """The server said within the stream that it failed."""


class Disconnected(SourceUnavailable):
    """There is no connection, or no longer; `ending` says why in one word of a closed set."""

    def __init__(
        self, ending: Ending, message: str, *, remedy: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, remedy=remedy, retry_after=retry_after)
        self.ending = ending


class Patience(NamedTuple):
    """How long to wait for a connection, and then for each next byte. There is no limit to the whole."""

    connect: timedelta
    idle: timedelta


class Reply:
    """An answer whose head has come. Its body is read in chunks."""

    def __init__(self, response: aiohttp.ClientResponse, host: str, patience: Patience) -> None:
        self._response = response
        self._patience = patience
        self.host = host
        self.status = response.status
        self.content_type = response.content_type
        self.headers: Mapping[str, str] = response.headers

    async def chunk(self) -> bytes:
        """What has come since, at least a byte; nothing at the end. Raises Disconnected when it breaks off."""
        try:
            # aiohttp's own timer (`sock_read`) stops for ever when the chunks of a body no longer parse.
            async with asyncio.timeout(self._patience.idle.total_seconds()):
                return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise failure(error, self.host, self._patience) from error


class HttpClient:
    """Makes every outgoing HTTP connection of this process, at most CONNECTIONS_PER_HOST to a host at a time."""

    def __init__(self, contact: str | None) -> None:
        """`contact`: a mail address or URL, told to every server. Raises ConfigurationError without one."""
        self._user_agent = user_agent(contact)
        self._open: Counter[str] = Counter()

    @asynccontextmanager
    async def get(self, url: str, headers: Mapping[str, str], patience: Patience) -> AsyncGenerator[Reply]:
        """Ask for `url`, over a connection of its own that leaving closes. Raises Disconnected.

        Whatever the status, the reply is given. A third connection to a host is not made and not waited for: it would
        wait for ever, in silence.
        """
        host = _host(url)
        with self._place(host):
            # Authorities are loaded from files, each time: what SSL_CERT_FILE names may have been renewed.
            authorities = await asyncio.to_thread(ssl.create_default_context)
            async with aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=authorities, force_close=True),
                timeout=aiohttp.ClientTimeout(total=None, connect=patience.connect.total_seconds()),
                headers={"User-Agent": self._user_agent},
                read_bufsize=_READ_AHEAD,
                trust_env=True,
            ) as session:
                try:
                    async with asyncio.timeout((patience.connect + patience.idle).total_seconds()):
                        response = await session.get(url, headers=headers, max_redirects=_REDIRECTS)
                # A ValueError is aiohttp's word for a proxy variable that is no URL.
                except (aiohttp.ClientError, OSError, ValueError) as error:
                    told = failure(error, host, patience)
                    let_go(error)
                    raise told from error
                try:
                    yield Reply(response, host, patience)
                finally:
                    # In this order: the session breaks off at once, the response would first take leave politely.
                    await session.close()
                    response.close()

    @contextmanager
    def _place(self, host: str) -> Iterator[None]:
        if self._open[host] >= CONNECTIONS_PER_HOST:
            raise Disconnected(
                Ending.THROTTLED,
                f"this process has {CONNECTIONS_PER_HOST} connections to {host} already, which allows no more",
                remedy="Let one source read several streams: they come over one connection.",
            )
        self._open[host] += 1
        try:
            yield
        finally:
            self._open[host] -= 1


def user_agent(contact: str | None) -> str:
    """What we call ourselves, as Wikimedia's User-Agent policy asks. Raises ConfigurationError."""
    remedy = (
        "Set http.contact to a mail address or an http(s) URL by which a server's operators can reach you: "
        f"Wikimedia asks that of every program ({_POLICY})."
    )
    if not contact:
        raise ConfigurationError("http.contact is not set.", remedy=remedy)
    if not (_MAIL.fullmatch(contact) or _PAGE.fullmatch(contact)):
        raise ConfigurationError("http.contact is neither a mail address nor an http(s) URL.", remedy=remedy)
    return f"wikimirror/{build().version} ({contact})"


def told_time(headers: Mapping[str, str]) -> float | None:
    """The server's own time of day (Date), in seconds since the epoch."""
    return _http_date(headers.get("Date", ""))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the server asks us to stay away, from 0 to LONGEST_RETRY_AFTER; None: it does not, or not legibly.

    RFC 9110, 10.2.3: a number of seconds, or a date, which counts from the server's own time where that is told.
    `now` is ours, in seconds since the epoch.
    """
    said = headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdigit():
        # Not int(): its digits are bounded, and here are as many as the server likes.
        seconds = float(said)
    else:
        until = _http_date(said)
        if until is None:
            return None
        told = told_time(headers)
        seconds = until - (now if told is None else told)
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER)


def failure(error: Exception, host: str, patience: Patience) -> Disconnected:
    """What went wrong between us and `host`, and what to do about it. Never in the library's words: they quote URLs."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            what = f"no connection to {host} within {patience.connect.total_seconds():g} s"
            return Disconnected(Ending.UNREACHABLE, what, remedy=_NETWORK)
        case TimeoutError():
            return Disconnected(Ending.IDLE, f"{host} sent nothing for {patience.idle.total_seconds():g} s")
        case aiohttp.ClientConnectorError() | aiohttp.ClientHttpProxyError():
            what, remedy = _no_way(error, host)
            return Disconnected(Ending.UNREACHABLE, what, remedy=remedy)
        case aiohttp.TooManyRedirects() | aiohttp.RedirectClientError():
            return Disconnected(Ending.NOT_A_STREAM, f"{host} redirects, and not to a stream", remedy=NOT_ITSELF)
        case aiohttp.ClientResponseError():
            return Disconnected(Ending.NOT_A_STREAM, f"{host} does not answer in HTTP", remedy=NOT_ITSELF)
        case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError() | ConnectionError():
            return Disconnected(Ending.CUT, f"the connection to {host} was cut")
        case ValueError():
            what = f"no way to {host}: its URL, or the proxy's in the environment, cannot be used"
            return Disconnected(Ending.UNREACHABLE, what, remedy=_PROXY)
        case _:
            what = f"the connection to {host} failed: {_reason(error)}"
            return Disconnected(Ending.UNREACHABLE, what, remedy=_NETWORK)


def _no_way(error: aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError, host: str) -> tuple[str, str]:
    """Why there is no connection, and the remedy."""
    match error:
        case aiohttp.ClientHttpProxyError():
            return f"the proxy on the way to {host} answered {error.status} when asked for it", _PROXY
        case aiohttp.ClientProxyConnectionError():
            return f"the proxy on the way to {host} cannot be reached: {_reason(error.os_error)}", _PROXY
        case aiohttp.ClientConnectorDNSError():
            return f"the name {error.host} cannot be resolved", _NETWORK
        case aiohttp.ClientConnectorCertificateError():
            return f"the certificate of {host} is not trusted: {_verdict(error.certificate_error)}", _authorities()
        case aiohttp.ClientConnectorSSLError():
            return f"no TLS with {host}: {_reason(error.os_error)}", "Look whether the URL and its port are right."
        case _:
            return f"{host} cannot be reached: {_reason(error.os_error)}", _NETWORK


NOT_ITSELF: Final = "Something else answers at this address, such as a login page of the network. Open the URL to see."
_NETWORK: Final = "Look at the network, the resolver and the firewall; where a proxy is needed, set HTTPS_PROXY."
_PROXY: Final = "Look at HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and at the proxy's own rules."


def _authorities() -> str:
    # OpenSSL says nothing about a file that is not there.
    if not Path(os.environ.get("SSL_CERT_FILE") or "/").exists():
        return "SSL_CERT_FILE names a file that is not there: mend that first."
    return "Where an authority of your own signs it, let SSL_CERT_FILE name a file with its certificate."


def _verdict(error: Exception) -> str:
    return error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else "it does not fit"


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS failed").lower().replace("_", " ")
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__


def _host(url: str) -> str:
    """Host and port, without a name and password before them."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def _http_date(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        # RFC 9110, 5.6.7: a date without a zone is in UTC.
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None
