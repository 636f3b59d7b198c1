"""What the third migration adds. All of it is additive: the program before it writes on beside it."""

from __future__ import annotations

from typing import Final

TABLES: Final = (
    """
CREATE TABLE member (
    source text COLLATE "C",
    holder text COLLATE "C",
    member_id text,
    role text NOT NULL,
    state text NOT NULL,
    lanes int NOT NULL,
    seconds_behind float8,
    records_behind bigint,
    in_flight bigint NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (source, holder)
)""",
)
