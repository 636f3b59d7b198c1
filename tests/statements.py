"""Statements run by themselves, on a connection of their own."""

from __future__ import annotations

import asyncpg


async def run(url: str, *statements: str) -> None:
    """Run them one after the other, each in a transaction of its own."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
