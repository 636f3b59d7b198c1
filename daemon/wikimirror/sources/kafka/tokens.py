"""Tokens for OAUTHBEARER: from a file that somebody renews, or from a server, by our own credentials.

What must hold of a provider, for aiokafka awaits `token()` in the midst of making a connection (`OAuthAuthenticator` in
its conn.py), holding the lock under which its client makes all its connections (`_get_conn` in its client.py):

- It fails with a KafkaError. Any other error goes through the task that keeps the client's metadata, and ends it:
  nothing is told, and whoever waits for metadata waits for ever. Of a KafkaError the client takes note as of any
  connection that failed, and tries again. `NoToken` is one; `faults.translate` finds in it what to tell.
- It takes a bounded time.
- It asks nobody where it has a token that is still good: each connection to each broker calls it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus, urlsplit

import aiohttp
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

from wikimirror.errors import SourceRefused, SourceUnavailable, WikimirrorError, let_go
from wikimirror.observe.build import build
from wikimirror.sources.http import Patience, failure

_CHUNK: Final = 2**14
_LONGEST_ANSWER: Final = 2**20
"""Bytes. No broker takes a token as long."""
_USUAL_LIFE: Final = 300.0
"""Seconds that a token is taken to be good for where its server does not say."""
_LONGEST_LIFE: Final = 86_400
_SPENT: Final = 0.8
"""The part of its life after which a token is renewed: a broker needs it for a while yet."""
_REFUSALS: Final = {400, 401, 403}
"""RFC 6749, section 5.2: the credentials, the grant or the scope is not accepted."""


class NoToken(KafkaError):
    """There is no token; `told` is what to tell of it."""

    def __init__(self, told: WikimirrorError) -> None:
        super().__init__(str(told))
        self.told = told


class TokenFile(AbstractTokenProvider):
    """The token that a file holds, read anew each time: a sidecar or Kubernetes renews it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:
        """The token. Raises NoToken."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> str:
        try:
            found = self._path.read_text(encoding="ascii").strip()
        except OSError as error:
            raise self._unusable(f"cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise self._unusable("does not hold a token") from None
        if not _is_token(found):
            raise self._unusable("does not hold a token")
        return found

    def _unusable(self, what: str) -> NoToken:
        remedy = "Look at what renews it; the file must hold the token alone."
        return NoToken(SourceUnavailable(f"token_file {self._path} {what}", remedy=remedy))


class ClientCredentials(AbstractTokenProvider):
    """Tokens from a server, for our client's id and secret: RFC 6749, section 4.4."""

    def __init__(
        self,
        url: str,
        client_id: str,
        client_secret: str,
        *,
        scope: str | None,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`seconds`: how long the server may take. `clock`: seconds that never go back."""
        self._url = url
        self._host = urlsplit(url).netloc.lower()
        # RFC 6749, section 2.3.1: each encoded as in a form, then as HTTP's basic scheme.
        self._who = aiohttp.encode_basic_auth(quote_plus(client_id), quote_plus(client_secret))
        self._form = {"grant_type": "client_credentials", **({} if scope is None else {"scope": scope})}
        self._patience = Patience(timedelta(seconds=seconds), timedelta(seconds=seconds))
        self._clock = clock
        self._asking = asyncio.Lock()
        self._held = ""
        self._good_until = 0.0

    async def token(self) -> str:
        """A token that is good for a while. Raises NoToken."""
        async with self._asking:
            if not self._held or self._clock() >= self._good_until:
                asked = self._clock()
                self._held, life = await self._ask()
                self._good_until = asked + life * _SPENT
            return self._held

    async def _ask(self) -> tuple[str, float]:
        try:
            async with asyncio.timeout(self._patience.connect.total_seconds()):
                status, body = await self._post()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            told = failure(error, self._host, self._patience)
            let_go(error)
            raise NoToken(told) from None
        return self._token_of(status, body)

    async def _post(self) -> tuple[int, bytes]:
        # Authorities are loaded from files, each time: what SSL_CERT_FILE names may have been renewed.
        authorities = await asyncio.to_thread(ssl.create_default_context)
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=authorities, force_close=True),
                timeout=aiohttp.ClientTimeout(total=None, connect=self._patience.connect.total_seconds()),
                headers={
                    "User-Agent": f"wikimirror/{build().version}",
                    "Accept": "application/json",
                    "Authorization": self._who,
                },
                trust_env=True,
            ) as session,
            # A secret follows no redirection.
            session.post(self._url, data=self._form, allow_redirects=False) as response,
        ):
            body = b""
            async for chunk in response.content.iter_chunked(_CHUNK):
                body += chunk
                if len(body) > _LONGEST_ANSWER:
                    break
            return response.status, body

    def _token_of(self, status: int, body: bytes) -> tuple[str, float]:
        if status in _REFUSALS:
            what = f"{self._host} gives no token: it answered {status}"
            remedy = "Look at token_client_id, its secret and token_scope, and at what the server lets this client do."
            raise NoToken(SourceRefused(what, remedy=remedy))
        if status != 200:  # noqa: PLR2004  # RFC 6749, section 5.1
            raise NoToken(SourceUnavailable(f"{self._host} gives no token: it answered {status}"))
        said = _object(body)
        found, life = said.get("access_token"), said.get("expires_in")
        if not isinstance(found, str) or not _is_token(found):
            what = f"{self._host} answered, and not with a token"
            raise NoToken(SourceUnavailable(what, remedy="Look whether token_url is the server's token endpoint."))
        return found, life if isinstance(life, int | float) and 0 < life <= _LONGEST_LIFE else _USUAL_LIFE


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _is_token(text: str) -> bool:
    """RFC 6750, section 2.1: visible characters of ASCII, so that nothing in it ends the message that bears it."""
    return text != "" and text.isascii() and text.isprintable() and " " not in text
