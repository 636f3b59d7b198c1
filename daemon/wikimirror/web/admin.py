"""The admin port: the status page for people, probes for an orchestrator, metrics for Prometheus.

Nothing here changes anything.

Each answer is worked out when it is asked for, in the event loop: a loop that is frozen does not answer `/livez`, and
so fails it. A client that is slow, silent or does not read loses its connection and holds nothing up.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from prometheus_client.aiohttp import make_aiohttp_handler
from yarl import URL

from wikimirror.errors import ConfigurationError
from wikimirror.observe.health import Verdict
from wikimirror.observe.telemetry import Telemetry
from wikimirror.web.status import StatusPages

_PATHS: Final = {
    "/": "for people: how it is",
    "/status.json": "the same for programs",
    "/details": "for people who have the token: what waits, who works, who did what",
    "/details.json": "the same for programs",
    "/livez": "200 while every loop gets on with its work; restart the process when not",
    "/readyz": "200 while every source is read, or stood by for; wait when not",
    "/startupz": "200 once the process has started",
    "/metrics": "for Prometheus",
}
_ANSWER: Final = 10.0
"""Seconds that an answer may take to be read by who asked."""
_IDLE: Final = 30.0
"""Seconds that a connection may stay without a whole request."""
_LINGER: Final = 1.0
"""Seconds that the rest of a request nobody wants is read for, so that its sender sees the answer."""
_FAREWELL: Final = 1.0
"""Seconds that answers under way may take when the server closes."""
_BODY: Final = 1024
"""Bytes. No path wants a body."""
_HEADERS: Final = 64


class AdminServer:
    """`async with AdminServer(listen, telemetry, started=…) as admin:` serves at `admin.url` until it is left."""

    def __init__(
        self, listen: str, telemetry: Telemetry, *, started: Callable[[], bool], pages: StatusPages | None = None
    ) -> None:
        """`listen` is a `settings.Address` as text: `host:port`, an IPv6 address in brackets; port 0 is any free one.

        `started` tells whether start-up is over. Without `pages` there is the status, and the details are shut.
        """
        self._listen = listen
        host, _, port = listen.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._telemetry = telemetry
        self._started = started
        self._pages = StatusPages(telemetry, started=started) if pages is None else pages
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Raises ConfigurationError when the address cannot be listened on."""
        runner = web.AppRunner(
            self._app(),
            access_log=None,
            keepalive_timeout=_IDLE,
            lingering_time=_LINGER,
            max_headers=_HEADERS,
            shutdown_timeout=_FAREWELL,
        )
        await runner.setup()
        site = web.TCPSite(runner, self._host, self._port)
        try:
            await site.start()
        except (OSError, UnicodeError) as error:
            await runner.cleanup()
            raise _not_listening(self._listen, error) from error
        self._port = site.port
        self._runner = runner
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    @property
    def url(self) -> str:
        """Where it is, for someone on this machine."""
        return str(URL.build(scheme="http", host=self._host, port=self._port))

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[_in_time, _plainly], client_max_size=_BODY)
        app.router.add_routes(self._pages.routes())
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/startupz", self._startupz)
        app.router.add_get("/metrics", make_aiohttp_handler(self._telemetry.registry))
        return app

    async def _livez(self, _request: web.Request) -> web.Response:
        verdicts = self._telemetry.verdicts()
        return self._probe(verdicts, ok=all(each.alive for each in verdicts.values()))

    async def _readyz(self, _request: web.Request) -> web.Response:
        verdicts = self._telemetry.verdicts()
        ready = bool(verdicts) and all(each.ready for each in verdicts.values())
        return self._probe(verdicts, ok=ready and self._started())

    async def _startupz(self, _request: web.Request) -> web.Response:
        return self._probe(self._telemetry.verdicts(), ok=self._started())

    def _probe(self, verdicts: dict[str, Verdict], *, ok: bool) -> web.Response:
        body = {
            "ok": ok,
            "started": self._started(),
            "sources": {source: _told(verdict) for source, verdict in verdicts.items()},
        }
        return web.json_response(body, status=200 if ok else 503)


def _not_listening(listen: str, error: OSError | UnicodeError) -> ConfigurationError:
    why, remedy = "it is no address of this machine", "Say"
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        why, remedy = "it is in use", "Another program listens there, or another wikimirror. Stop it, or say"
    elif isinstance(error, PermissionError):
        why = "this user may not"
    return ConfigurationError(
        f"the admin port cannot listen on {listen}: {why}",
        remedy=f'{remedy} another address in admin.listen, or "off".',
    )


def _told(verdict: Verdict) -> dict[str, Any]:
    return {
        "state": verdict.state,
        "role": verdict.role,
        "alive": verdict.alive,
        "ready": verdict.ready,
        "why": verdict.why,
        "seconds_behind": _rounded(verdict.seconds_behind),
        "silent_seconds": _rounded(verdict.silent_seconds),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


@web.middleware
async def _in_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Sends the answer within _ANSWER seconds, or drops the connection."""
    transport = request.transport
    response = await handler(request)
    try:
        async with asyncio.timeout(_ANSWER):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()
    except ConnectionError:
        # Whoever asked is gone. aiohttp meets that once more below, and takes it quietly.
        pass
    return response


@web.middleware
async def _plainly(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors as plain JSON, and nothing kept by anyone on the way."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = web.json_response({"error": f"{error.status} {error.reason}", "paths": _PATHS}, status=error.status)
        if hdrs.ALLOW in error.headers:
            response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    return response
