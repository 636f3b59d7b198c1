"""What the third migration adds. All of it is additive: the program before it writes on beside it."""

from __future__ import annotations

from typing import Final

# The rows that a batch changes travel as arrays of these: all columns that are written, in the order in which they are. They
# are no row types of the tables, so that a column that is added later does not stop the program before it.
TYPES: Final = (
    """
CREATE TYPE page_values AS (
    wiki_id text,
    page_id bigint,
    state text,
    title text,
    namespace_id int,
    is_redirect boolean,
    rev_id bigint,
    rev_dt timestamptz,
    deleted_at timestamptz,
    url text,
    wikibase_item_id text,
    published timestamptz,
    stamp_clock smallint,
    stamp_time bigint,
    stamp_id bytea,
    registers jsonb
)""",
    """
CREATE TYPE revision_values AS (
    wiki_id text,
    rev_id bigint,
    page_id bigint,
    parent_rev_id bigint,
    rev_dt timestamptz,
    editor_name text,
    editor_id bigint,
    comment text,
    is_minor boolean,
    sha1 text,
    size bigint,
    content_model text,
    content_visible boolean,
    editor_visible boolean,
    comment_visible boolean,
    stamp_clock smallint,
    stamp_time bigint,
    stamp_id bytea,
    registers jsonb
)""",
)
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
