"""A tiny OAuth 2 server: tokens that the rehearsed broker takes, for one client's credentials."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote_plus

from aiohttp import encode_basic_auth, web


def unsigned_token(subject: str, *, seconds: float = 300) -> str:
    """A token (RFC 7515, unsecured) for a subject, good for some time from now; below 0 it is good no more."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": subject, "iat": now - 1 + min(0, seconds), "exp": now + seconds})
    return ".".join(base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in parts) + "."


class TokenServer:
    """Gives a token for `client_id` and `client_secret`, and keeps account of what it was asked.

    `answer`: what it answers instead, as status and body.
    """

    def __init__(self, client_id: str, client_secret: str) -> None:
        self.url = ""
        self.asked: list[Mapping[str, Any]] = []
        self.subject = "member"
        self.life: object = 300
        self.answer: tuple[int, str] | None = None
        # RFC 6749, section 2.3.1: each is encoded as in a form first.
        self._client = encode_basic_auth(quote_plus(client_id), quote_plus(client_secret))

    async def give(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked.append({**form, "authorization": request.headers.get("Authorization", "")})
        if self.answer is not None:
            return web.Response(status=self.answer[0], text=self.answer[1], headers={"Location": "http://127.0.0.1:1/"})
        if self.asked[-1]["authorization"] != self._client or form["grant_type"] != "client_credentials":
            return web.json_response({"error": "invalid_client"}, status=401)
        token = unsigned_token(self.subject)
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": self.life})


@asynccontextmanager
async def token_server(
    client_id: str = "wikimirror", client_secret: str = "hunter2"
) -> AsyncIterator[TokenServer]:  # a test's
    server = TokenServer(client_id, client_secret)
    application = web.Application()
    application.router.add_post("/token", server.give)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
        yield server
    finally:
        await runner.cleanup()
