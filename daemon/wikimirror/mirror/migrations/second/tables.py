"""What the second migration adds. All of it is additive: the program before it writes on beside it."""

from __future__ import annotations

from typing import Final

TABLES: Final = (
    "ALTER TABLE checkpoint ADD COLUMN position_time timestamptz",
    """
CREATE TABLE lease (
    source text COLLATE "C" PRIMARY KEY,
    holder text NOT NULL,
    epoch bigint NOT NULL,
    acquired_at timestamptz NOT NULL,
    renewed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
)""",
)
