"""The tables of the first migration, each with its indexes."""

from __future__ import annotations

from typing import Final

TABLES: Final = (
    """
CREATE TABLE page (
    wiki_id text COLLATE "C" NOT NULL,
    page_id bigint NOT NULL,
    state text COLLATE "C",
    title text COLLATE "C",
    namespace_id integer,
    is_redirect boolean,
    rev_id bigint,
    rev_dt timestamptz,
    deleted_at timestamptz,
    url text COLLATE "C",
    wikibase_item_id text COLLATE "C",
    published timestamptz,
    stamp_clock smallint,
    stamp_time bigint,
    stamp_id bytea,
    registers jsonb,
    PRIMARY KEY (wiki_id, page_id),
    CONSTRAINT page_state CHECK (state IN ('live', 'deleted', 'vacated')),
    CONSTRAINT page_live_only CHECK (
        state IS NOT DISTINCT FROM 'live'
        OR (rev_id IS NULL AND rev_dt IS NULL AND url IS NULL AND wikibase_item_id IS NULL)
    ),
    CONSTRAINT page_deleted_at CHECK (state IS NOT DISTINCT FROM 'deleted' OR deleted_at IS NULL)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)""",
    "CREATE INDEX page_title ON page (wiki_id, title) WHERE state = 'live'",
    """
CREATE TABLE revision (
    wiki_id text COLLATE "C" NOT NULL,
    rev_id bigint NOT NULL,
    page_id bigint,
    parent_rev_id bigint,
    rev_dt timestamptz,
    editor_name text COLLATE "C",
    editor_id bigint,
    comment text COLLATE "C",
    is_minor boolean,
    sha1 text COLLATE "C",
    size bigint,
    content_model text COLLATE "C",
    content_visible boolean NOT NULL,
    editor_visible boolean NOT NULL,
    comment_visible boolean NOT NULL,
    stamp_clock smallint,
    stamp_time bigint,
    stamp_id bytea,
    registers jsonb,
    PRIMARY KEY (wiki_id, rev_id),
    CONSTRAINT revision_hidden_text CHECK (content_visible OR (sha1 IS NULL AND size IS NULL)),
    CONSTRAINT revision_hidden_editor CHECK (editor_visible OR (editor_name IS NULL AND editor_id IS NULL)),
    CONSTRAINT revision_hidden_comment CHECK (comment_visible OR comment IS NULL)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)""",
    "CREATE INDEX revision_of_page ON revision (wiki_id, page_id, rev_dt)",
    """
CREATE TABLE revision_page (
    wiki_id text COLLATE "C" NOT NULL,
    rev_id bigint NOT NULL,
    page_id bigint NOT NULL,
    PRIMARY KEY (wiki_id, rev_id, page_id)
)""",
    "CREATE INDEX revision_page_of_page ON revision_page (wiki_id, page_id)",
    """
CREATE TABLE body (
    wiki_id text COLLATE "C" NOT NULL,
    rev_id bigint NOT NULL,
    format text COLLATE "C" NOT NULL,
    text text COLLATE "C" NOT NULL,
    PRIMARY KEY (wiki_id, rev_id, format),
    CONSTRAINT body_format CHECK (format IN ('wikitext', 'html', 'json'))
) WITH (
    autovacuum_vacuum_scale_factor = 0.01, toast.autovacuum_vacuum_scale_factor = 0.01
)""",
    """
CREATE TABLE change (
    change_id bytea NOT NULL,
    wiki_id text COLLATE "C" NOT NULL,
    page_id bigint NOT NULL,
    rev_id bigint,
    kind text COLLATE "C" NOT NULL,
    clock smallint NOT NULL,
    time timestamptz NOT NULL,
    published timestamptz NOT NULL,
    received timestamptz NOT NULL,
    applied timestamptz NOT NULL,
    source text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    outcome text COLLATE "C" NOT NULL
) PARTITION BY RANGE (published)""",
    "CREATE TABLE change_default PARTITION OF change DEFAULT",
    "CREATE INDEX change_page ON change (wiki_id, page_id, published)",
    "CREATE INDEX change_identity ON change (change_id)",
    """
CREATE TABLE correction (
    number bigint PRIMARY KEY,
    wiki_id text COLLATE "C" NOT NULL,
    page_id bigint,
    rev_id bigint,
    kind text COLLATE "C" NOT NULL,
    removed text[] NOT NULL,
    revisions_touched integer NOT NULL,
    change_id bytea NOT NULL,
    published timestamptz NOT NULL,
    received timestamptz NOT NULL,
    applied timestamptz NOT NULL,
    seconds double precision NOT NULL,
    source text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT correction_removed CHECK (removed <@ ARRAY['text', 'editor', 'comment', 'title'])
)""",
    "CREATE INDEX correction_page ON correction (wiki_id, page_id)",
    """
CREATE TABLE checkpoint (
    source text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    position bigint NOT NULL,
    epoch bigint NOT NULL DEFAULT 0,
    writer text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, topic, partition)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)""",
    """
CREATE TABLE dead_letter (
    dead_letter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    reason text NOT NULL,
    sqlstate text,
    constraint_name text,
    wiki_id text COLLATE "C",
    page_id bigint,
    rev_id bigint,
    payload bytea,
    payload_sha256 bytea,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen timestamptz NOT NULL DEFAULT now(),
    seen integer NOT NULL DEFAULT 1,
    CONSTRAINT dead_letter_coordinates UNIQUE (source, topic, partition, "offset"),
    CONSTRAINT dead_letter_payload CHECK (payload IS NULL OR (page_id IS NOT NULL AND rev_id IS NOT NULL))
)""",
    "CREATE INDEX dead_letter_page ON dead_letter (wiki_id, page_id) WHERE payload IS NOT NULL",
    """
CREATE TABLE gap (
    gap_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    from_position bigint,
    to_position bigint,
    from_time timestamptz,
    to_time timestamptz,
    reason text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz
)""",
    """
CREATE TABLE reconcile (
    wiki_id text COLLATE "C" NOT NULL,
    page_id bigint NOT NULL,
    rev_id bigint NOT NULL DEFAULT 0,
    reason text COLLATE "C" NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT now(),
    change_id bytea,
    PRIMARY KEY (wiki_id, page_id, rev_id, reason)
)""",
    "CREATE INDEX reconcile_unknown_parent ON reconcile (wiki_id, rev_id) WHERE reason = 'unknown_parent'",
)

COMPRESSION: Final = """
DO $compression$
BEGIN
    ALTER TABLE body ALTER COLUMN text SET COMPRESSION lz4;
    ALTER TABLE page ALTER COLUMN registers SET COMPRESSION lz4;
    ALTER TABLE revision ALTER COLUMN registers SET COMPRESSION lz4;
    ALTER TABLE dead_letter ALTER COLUMN payload SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL; -- A server built without lz4 keeps pglz: slower, the same in all else.
END
$compression$"""
