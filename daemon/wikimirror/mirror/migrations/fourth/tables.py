"""What the fourth migration adds. All of it is additive: the program before it writes on beside it."""

from __future__ import annotations

from typing import Final

TABLES: Final = (
    """
ALTER TABLE dead_letter
    ADD COLUMN published timestamptz,
    ADD COLUMN retracts boolean NOT NULL DEFAULT false,
    ADD COLUMN hidden boolean NOT NULL DEFAULT false""",
    "ALTER TABLE member ADD COLUMN why text",
    """
CREATE TABLE operation (
    operation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    who text NOT NULL,
    role text NOT NULL,
    command text COLLATE "C" NOT NULL,
    arguments jsonb NOT NULL,
    dry_run boolean NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    result text COLLATE "C" NOT NULL,
    summary jsonb,
    CONSTRAINT operation_result CHECK (result IN ('running', 'done', 'refused', 'failed', 'interrupted'))
)""",
    """
CREATE TABLE replay (
    replay_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text COLLATE "C" NOT NULL,
    asked jsonb NOT NULL,
    state text COLLATE "C" NOT NULL,
    holder text NOT NULL,
    records_read bigint NOT NULL DEFAULT 0,
    summary jsonb,
    gap_id bigint,
    began_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    ended_at timestamptz,
    CONSTRAINT replay_state CHECK (state IN ('running', 'done', 'failed', 'interrupted'))
)""",
    """
CREATE TABLE replay_lane (
    replay_id bigint NOT NULL REFERENCES replay (replay_id),
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    from_position bigint NOT NULL,
    from_time timestamptz,
    to_position bigint,
    to_time timestamptz,
    done boolean NOT NULL DEFAULT false,
    PRIMARY KEY (replay_id, topic, partition)
)""",
    "ALTER TABLE gap ADD COLUMN replay_id bigint",
    """
CREATE TABLE lane (
    source text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    holder text NOT NULL,
    state text COLLATE "C" NOT NULL,
    position bigint,
    seconds_behind float8,
    records_behind bigint,
    catch_up_seconds float8,
    headroom_seconds float8,
    headroom_records bigint,
    evidence jsonb NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (source, topic, partition)
)""",
)
