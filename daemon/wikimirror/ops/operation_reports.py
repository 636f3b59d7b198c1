"""The report of the commands that wrote. Times are UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class OperationRow:
    """One command that wrote, or would have. Times are UTC."""

    operation_id: int
    who: str
    role: str
    command: str
    arguments: dict[str, Any]
    dry_run: bool
    started_at: datetime
    ended_at: datetime | None
    result: str
    """running, done, refused, failed or interrupted."""
    summary: dict[str, Any] | None
    seconds: float | None
    """From start to end."""


@dataclass(frozen=True, slots=True)
class OperationsReport:
    """The newest first."""

    operations: list[OperationRow]
