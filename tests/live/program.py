"""Commands of the program, each run to its end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

PROGRAM: Final = Path(sys.executable).with_name("wikimirror")
DEADLINE: Final = 60


async def wikimirror(*arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """Run a command to its end: its exit code and the JSON that it gave."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM, *arguments, "--json", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )  # fmt: skip
    async with asyncio.timeout(DEADLINE):
        out, err = await process.communicate()
    assert out, err.decode()
    return process.returncode or 0, json.loads(out)
