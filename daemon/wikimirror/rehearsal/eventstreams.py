"""The simulated wiki over HTTP, as Wikimedia's EventStreams serves the real ones, with faults on demand.

`GET /v2/stream/{streams}` after ES:routes/stream.js and KafkaSSE. What the edge before it does (a contact in the
User-Agent, cuts, throttling) is here too, for a client sees no difference.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import Counter
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from wikimirror.rehearsal.asking import Refused, starts
from wikimirror.rehearsal.faults import NO_FAULTS, Answer, Counts, Cut, Faults
from wikimirror.rehearsal.frames import Frames
from wikimirror.rehearsal.log import Log
from wikimirror.rehearsal.sending import Sending

_CONTACT: Final = re.compile(r"@|https?://")
_PAGE: Final = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>\n"


class EventStreamsServer:
    """Serves a log. `async with` it; several may serve one log.

    `port` 0 takes a free one, told by `port` and `url` afterwards; `tls` makes it HTTPS.
    """

    def __init__(
        self,
        log: Log,
        faults: Faults = NO_FAULTS,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.log = log
        self.port = port
        self.counts = Counts()
        self._host = host
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._streaming: Counter[str] = Counter()
        """Streams by client."""
        self._streamed = 0
        self._faults = faults
        self._answers = faults.answers

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end: what a source is given as its base URL."""
        return f"{'http' if self._tls is None else 'https'}://{self._host}:{self.port}"

    @property
    def faults(self) -> Faults:
        """How it misbehaves now. Set it, and open streams follow too, with their next write at the latest."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        self._answers = faults.answers
        self.log.wake()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/v2/stream/{streams}", self._get, allow_head=False)
        app.router.add_route("*", "/{path:.*}", _not_found)
        # Without handler_cancellation a stream with nothing to send would not notice that its client has left.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self.port, ssl_context=self._tls).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave at once, as a server that is killed: open streams are cut where they are."""
        for task in self._tasks:
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        counts, task = self.counts, asyncio.current_task()
        counts.requests += 1
        counts.connections += 1
        counts.most_connections = max(counts.most_connections, counts.connections)
        if task is not None:
            self._tasks.add(task)
        try:
            await asyncio.sleep(self._faults.answer_delay)
            return await self._answer(request)
        finally:
            counts.connections -= 1
            if task is not None:
                self._tasks.discard(task)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        client = request.remote or ""
        refusal = self._refusal(request, client)
        if refusal is None:
            self._streaming[client] += 1
            try:
                return await self._stream(request)
            except Refused as refused:
                refusal = _problem(request, refused)
            finally:
                self._streaming[client] -= 1
        self.counts.refused[refusal.status] += 1
        return refusal

    def _refusal(self, request: web.Request, client: str) -> web.Response | None:
        """What the client gets instead of a stream, if anything; decided before its request is read."""
        faults = self._faults
        wait = {"Retry-After": str(faults.retry_after)}
        if faults.answer is not None and self._answers > 0:
            self._answers -= 1
            return _instead(faults.answer, wait)
        if faults.contact and not _CONTACT.search(request.headers.get("User-Agent", "")):
            text = "Please set a user-agent and respect our robot policy https://w.wiki/4wJS.\n"
            return web.Response(status=403, text=text)
        if faults.connections is not None and self._streaming[client] >= faults.connections:
            detail = "Your HTTP client is likely opening too many concurrent connections."
            return _problem(request, Refused(429, "too_many_requests", detail), wait)
        return None

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        shift = self._faults.renumbered_by if self._streamed % 2 else 0
        begin = starts(
            self.log,
            request.match_info["streams"],
            since=request.query.get("since"),
            last_id=request.headers.get("Last-Event-ID"),
            shift=shift,
        )
        self._streamed += 1
        plain = request.headers.get("Accept", "").startswith("application/json")
        frames = Frames(begin, shift=shift, ids=not plain)
        sending = Sending(self.log, begin, frames, lambda: self._faults, self.counts)
        kind = "application/json" if plain else "text/event-stream"
        response = web.StreamResponse(
            headers={"Content-Type": f"{kind}; charset=utf-8", "Cache-Control": "private, max-age=0, no-cache"}
        )
        await response.prepare(request)
        try:
            if await sending.run(response.write) is Cut.MID_RECORD and request.transport is not None:
                request.transport.close()
        except TimeoutError:
            # Nothing more goes through to a reader that does not read: not even the end of the body.
            self.counts.cuts += 1
            if request.transport is not None:
                request.transport.abort()
        except ConnectionResetError:
            pass
        return response


def _instead(answer: Answer, wait: dict[str, str]) -> web.Response:
    if answer is Answer.HTML:
        return web.Response(text=_PAGE.format("Sign in to this network"), content_type="text/html")
    if answer is Answer.ERROR:
        return web.Response(status=500, text=_PAGE.format("Wikimedia Error"), content_type="text/html")
    return web.Response(status=503, text=_PAGE.format("Service Unavailable"), content_type="text/html", headers=wait)


def _problem(request: web.Request, refused: Refused, headers: dict[str, str] | None = None) -> web.Response:
    body = {**refused.body, "method": request.method.lower(), "uri": request.path}
    return web.json_response(body, status=refused.status, headers=headers, content_type="application/problem+json")


async def _not_found(request: web.Request) -> web.Response:
    return _problem(request, Refused(404, "not_found", "There is nothing at this address."))
