"""The pages for people and their twins for programs: `/`, `/status.json`, `/details`, `/details.json`.

The first two say what this process knows by itself, to everybody who reaches the port: numbers, states, names of
sources and topics. The other two say more, to those who bring the token.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final

from aiohttp import hdrs, web

from wikimirror.errors import WikimirrorError
from wikimirror.observe.telemetry import Telemetry
from wikimirror.observe.withhold import mask_secrets
from wikimirror.web.auth import CHALLENGES, admits
from wikimirror.web.concerns import Level
from wikimirror.web.details import Answer, Details
from wikimirror.web.facts import Facts
from wikimirror.web.page import FRESH_SECONDS, view_of
from wikimirror.web.rendering import Renderer
from wikimirror.web.tables import tables

_REFRESH: Final = 5
"""Seconds after which the pages ask for themselves again."""
_MOST_LANES: Final = 40
"""Rows of lanes on the page, the worst of them; `/status.json` has all."""
_MOST_ALSO: Final = 4
"""What else is not well that is named above the fold."""
_TOKEN_KEPT: Final = 2.0
"""Seconds that a token, or the lack of one, is believed: however often somebody asks, files are read no oftener."""
_HOW: Final = "set admin.token, or admin.token_file, in the settings and restart"

TokenReader = Callable[[], Awaitable[str | None]]
"""Gives the token now in force; None: none is set. Raises WikimirrorError where it cannot be read."""


async def _no_token() -> str | None:
    return None


class StatusPages:
    """Handlers. Only for the event loop's thread."""

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        started: Callable[[], bool],
        details: Details | None = None,
        token: TokenReader = _no_token,
        runbooks: str | None = None,
    ) -> None:
        """Without `details` or token what is behind it stays shut."""
        self._telemetry = telemetry
        self._started = started
        self._details = details
        self._token = token
        self._renderer = Renderer(runbooks)
        self._believed: tuple[str | None, str] | None = None
        self._believed_at = 0.0

    def routes(self) -> list[web.RouteDef]:
        """What is served."""
        return [
            web.get("/", self._page),
            web.get("/status.json", self._status),
            web.get("/details", self._details_page),
            web.get("/details.json", self._details_json),
        ]

    async def _page(self, request: web.Request) -> web.Response:
        view = view_of(self._facts())
        shown = view.lanes[:_MOST_LANES]
        also = list(dict.fromkeys(concern.state for concern in view.concerns[1:]))
        return self._renderer.page(
            "status.html", view=view, lanes=shown, more_lanes=len(view.lanes) - len(shown),
            also=also[:_MOST_ALSO], more_also=len(also) > _MOST_ALSO,
            fresh_minutes=FRESH_SECONDS // 60, **self._common(request, view.at),
        )  # fmt: skip

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(_plain(view_of(self._facts())))

    async def _details_page(self, request: web.Request) -> web.Response:
        common = self._common(request, self._telemetry.now())
        token, why = await self._read_token()
        if self._details is None or token is None:
            return self._renderer.page("shut.html", status=404, why=why, how=_HOW, level=Level.WATCH, **common)
        if not admits(request.headers.get(hdrs.AUTHORIZATION), token):
            return _challenging(self._renderer.page("refused.html", status=401, level=Level.WATCH, **common))
        answer, view = await self._details.read(), view_of(self._facts())
        return self._renderer.page(
            "details.html", tables=[] if answer.recent is None else tables(answer.recent),
            unavailable=answer.unavailable, whys=self._whys(), title=view.title, sentence=view.sentence,
            level=Level.TROUBLE if answer.recent is None else view.level, **common,
        )  # fmt: skip

    async def _details_json(self, request: web.Request) -> web.Response:
        token, why = await self._read_token()
        if self._details is None or token is None:
            return web.json_response({"error": f"404 {why}: {_HOW}"}, status=404)
        if not admits(request.headers.get(hdrs.AUTHORIZATION), token):
            return _challenging(web.json_response({"error": "401 the token is missing or wrong"}, status=401))
        return web.json_response({"why": self._whys(), **_told(await self._details.read())})

    async def _read_token(self) -> tuple[str | None, str]:
        """The token, and why there is none."""
        now = asyncio.get_running_loop().time()
        if self._believed is None or now - self._believed_at >= _TOKEN_KEPT:
            try:
                self._believed = await self._token(), "no token is set"
            except WikimirrorError:
                # Whoever reaches the port is not told where our files are.
                self._believed = None, "the token cannot be read"
            self._believed_at = now
        return self._believed

    def _whys(self) -> dict[str, str]:
        return {source: mask_secrets(verdict.why) for source, verdict in self._telemetry.verdicts().items()}

    def _facts(self) -> Facts:
        sight = self._telemetry.look()
        return Facts(
            build=sight.build,
            started=self._started(),
            now=self._telemetry.now(),
            sources=sight.sources,
            fresh=self._telemetry.freshness(FRESH_SECONDS),
            backlog=sight.backlog,
            backlog_read=sight.backlog_read,
        )

    @staticmethod
    def _common(request: web.Request, at: float) -> dict[str, Any]:
        live = request.query.get("live") != "off"
        return {"live": live, "refresh": _REFRESH, "path": request.path, "at": at}


def _told(answer: Answer) -> dict[str, Any]:
    if answer.recent is None:
        return {"unavailable": answer.unavailable, "recent": None}
    return {"unavailable": None, "recent": _plain(answer.recent)}


def _challenging(response: web.Response) -> web.Response:
    for challenge in CHALLENGES:
        response.headers.add(hdrs.WWW_AUTHENTICATE, challenge)
    return response


def _plain(value: Any) -> Any:
    """As JSON says it: records as objects, instants in RFC 3339."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(part) for name, part in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value
