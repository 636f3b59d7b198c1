"""timestamptz as whole microseconds since the Unix epoch, on a writer's connection: exact, cheaper than datetime."""

from __future__ import annotations

from typing import Final

import asyncpg

_UNIX_TO_POSTGRES: Final = 946_684_800_000_000
"""Postgres counts from 2000-01-01."""


async def use_microseconds(connection: asyncpg.Connection) -> None:
    """Let this connection take and give timestamptz as int."""
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        format="tuple",
        encoder=lambda time: (time - _UNIX_TO_POSTGRES,),
        decoder=lambda time: time[0] + _UNIX_TO_POSTGRES,
    )
