"""The admin port, built from the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from wikimirror.app.places import Place
from wikimirror.errors import ConfigurationError
from wikimirror.mirror.connect import Limits, Session, connect
from wikimirror.observe.telemetry import Telemetry
from wikimirror.settings import AdminSettings, Settings
from wikimirror.web import AdminServer, Details, StatusPages

_NAME: Final = "wikimirror details"
"""What Postgres calls the session."""
_SHORT: Final = Limits(connect=3.0, lock=1.0, statement=2.0, idle=2.0)
"""Seconds. Whoever looks, looks again."""


def admin_server(
    place: Place, telemetry: Telemetry, *, started: Callable[[], bool], current: Callable[[], Settings]
) -> AdminServer:
    """Not listening yet. `current` gives the settings with the secrets as their files now say them."""
    settings = current()

    async def open_session() -> Session:
        now = current()
        url = place.url if place.embedded or now.postgres.url is None else now.postgres.url.get_secret_value()
        return await connect(
            url, schema=now.postgres.schema_name, application_name=_NAME, password_file=now.postgres.password_file,
            write=False, limits=_SHORT,
        )  # fmt: skip

    async def token() -> str | None:
        return await token_of(current().admin)

    pages = StatusPages(
        telemetry, started=started, details=Details(open_session), token=token, runbooks=settings.admin.runbooks
    )
    return AdminServer(str(settings.admin.listen), telemetry, started=started, pages=pages)


async def token_of(admin: AdminSettings) -> str | None:
    """The token in force: the setting's, or the first line of its file. Raises ConfigurationError without that."""
    if admin.token_file is None:
        return None if admin.token is None else admin.token.get_secret_value()
    return await asyncio.to_thread(_first_line, admin.token_file)


def _first_line(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").partition("\n")[0].strip("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigurationError(
            f"the token file {path} cannot be read: {reason}", remedy="Correct its path or its mode."
        ) from None
    if not token:
        # An empty password must open nothing.
        raise ConfigurationError(f"the token file {path} begins with an empty line", remedy="Write the token into it.")
    return token
