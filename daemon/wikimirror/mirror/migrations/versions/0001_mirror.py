"""The mirror: pages, revisions, bodies, the ledger, corrections, and the program's own books."""

from __future__ import annotations

from typing import Final

from wikimirror.mirror.migrations.sql import comment_relation, literal, run

revision = "0001"
down_revision = None

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
    autovacuum_vacuum_scale_factor = 0.01, toast.autovacuum_vacuum_scale_factor = 0.01, toast_tuple_target = 256
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

FUNCTIONS: Final = (
    """
CREATE FUNCTION correction_refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
BEGIN
    RAISE EXCEPTION 'correction is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$""",
    """
CREATE TRIGGER correction_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON correction
FOR EACH STATEMENT EXECUTE FUNCTION correction_refuse_change()""",
    "ALTER TABLE correction ENABLE ALWAYS TRIGGER correction_append_only",
    r"""
CREATE FUNCTION correction_text(c correction) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN array_to_string(ARRAY[
    (c).number::text,
    replace(replace((c).wiki_id, '\', '\\'), '|', '\|'),
    (c).page_id::text,
    (c).rev_id::text,
    replace(replace((c).kind, '\', '\\'), '|', '\|'),
    array_to_string((c).removed, ','),
    (c).revisions_touched::text,
    encode((c).change_id, 'hex'),
    (extract(epoch FROM (c).published - timestamptz '1970-01-01 00:00:00+00') * 1000000)::bigint::text,
    (extract(epoch FROM (c).received - timestamptz '1970-01-01 00:00:00+00') * 1000000)::bigint::text,
    (extract(epoch FROM (c).applied - timestamptz '1970-01-01 00:00:00+00') * 1000000)::bigint::text,
    round((c).seconds * 1000000)::bigint::text,
    replace(replace((c).source, '\', '\\'), '|', '\|'),
    replace(replace((c).topic, '\', '\\'), '|', '\|'),
    (c).partition::text,
    (c)."offset"::text
], '|', '')""",
    """
CREATE FUNCTION correction_chain_breaks()
RETURNS TABLE (number bigint, reason text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT linked.number, broken.reason
    FROM (
        SELECT c.number, c.previous_hash, c.hash,
               sha256(c.previous_hash || convert_to(correction_text(c), 'UTF8')) AS expected,
               coalesce(lag(c.number) OVER w, 0) AS previous_number,
               coalesce(lag(c.hash) OVER w, decode(repeat('00', 32), 'hex')) AS expected_previous
        FROM correction c
        WINDOW w AS (ORDER BY c.number)
    ) AS linked
    CROSS JOIN LATERAL (VALUES
        ('row', linked.hash IS DISTINCT FROM linked.expected),
        ('previous', linked.previous_hash IS DISTINCT FROM linked.expected_previous),
        ('number', linked.number IS DISTINCT FROM linked.previous_number + 1)
    ) AS broken (reason, is_so)
    WHERE broken.is_so
    ORDER BY linked.number, broken.reason;
END""",
    """
CREATE FUNCTION ensure_change_partitions(first date, last date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone TO 'UTC'
AS $$
DECLARE
    month date := date_trunc('month', first)::date;
    following date;
    partition_name text;
    created integer := 0;
BEGIN
    IF last > first + 3660 THEN
        RAISE EXCEPTION 'partitions for more than ten years were asked for: % to %', first, last
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('wikimirror partitions', 'change'::regclass::oid::bigint));
    WHILE month <= last LOOP
        following := (month + interval '1 month')::date;
        partition_name := format('change_%s', to_char(month, 'YYYY_MM'));
        IF to_regclass(format('%I', partition_name)) IS NULL THEN
            -- Held until the end, so that no row of this month enters the default partition in between.
            LOCK TABLE change_default IN ACCESS EXCLUSIVE MODE;
            EXECUTE format(
                'CREATE TABLE %I (LIKE change INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS)', partition_name);
            EXECUTE format(
                'WITH moved AS (DELETE FROM change_default WHERE published >= %L AND published < %L RETURNING *) '
                'INSERT INTO %I SELECT * FROM moved',
                month::timestamptz, following::timestamptz, partition_name);
            EXECUTE format('ALTER TABLE change ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                partition_name, month::timestamptz, following::timestamptz);
            EXECUTE format('COMMENT ON TABLE %I IS %L', partition_name,
                format('The ledger''s rows published in %s (UTC).', to_char(month, 'YYYY-MM')));
            created := created + 1;
        END IF;
        month := following;
    END LOOP;
    RETURN created;
END
$$""",
    """
CREATE FUNCTION prune_change(keep interval)
RETURNS TABLE (partition_name text, rows_removed bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone TO 'UTC'
AS $$
DECLARE
    oldest_kept constant timestamptz := now() - keep;
    part regclass;
    is_young boolean;
BEGIN
    IF keep <= interval '0' THEN
        RAISE EXCEPTION 'the ledger must be kept for some time, not %', keep USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('wikimirror partitions', 'change'::regclass::oid::bigint));
    FOR part IN
        SELECT i.inhrelid::regclass
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'change'::regclass AND c.relname ~ '^change_[0-9]{4}_[0-9]{2}$'
        -- An empty partition is judged by its month, so that those made ahead of time stay.
          AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' < oldest_kept
        ORDER BY c.relname
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE applied >= $1)', part) INTO is_young USING oldest_kept;
        CONTINUE WHEN is_young;
        partition_name := (SELECT relname FROM pg_class WHERE oid = part);
        EXECUTE format('SELECT count(*) FROM %s', part) INTO rows_removed;
        EXECUTE format('DROP TABLE %s', part);
        RETURN NEXT;
    END LOOP;
    DELETE FROM change_default WHERE applied < oldest_kept;
    GET DIAGNOSTICS rows_removed = ROW_COUNT;
    IF rows_removed > 0 THEN
        partition_name := 'change_default';
        RETURN NEXT;
    END IF;
END
$$""",
    """
REVOKE ALL ON FUNCTION ensure_change_partitions(date, date), prune_change(interval), correction_chain_breaks(),
    correction_text(correction), correction_refuse_change() FROM PUBLIC""",
)

VIEWS: Final = (
    """
CREATE VIEW current_page WITH (security_barrier) AS
SELECT p.wiki_id, p.page_id, p.title, p.namespace_id, p.is_redirect, p.url, p.wikibase_item_id, p.rev_id, p.rev_dt,
       r.parent_rev_id,
       CASE WHEN r.editor_visible THEN r.editor_name END AS editor_name,
       CASE WHEN r.editor_visible THEN r.editor_id END AS editor_id,
       CASE WHEN r.comment_visible THEN r.comment END AS comment,
       r.is_minor,
       CASE WHEN r.content_visible THEN r.sha1 END AS sha1,
       CASE WHEN r.content_visible THEN r.size END AS size,
       r.content_model, r.content_visible, r.editor_visible, r.comment_visible, p.published,
       wikitext.text AS wikitext, html.text AS html, json.text AS json
FROM page p
LEFT JOIN revision r ON r.wiki_id = p.wiki_id AND r.rev_id = p.rev_id
LEFT JOIN body wikitext
    ON r.content_visible AND wikitext.wiki_id = r.wiki_id AND wikitext.rev_id = r.rev_id AND wikitext.format = 'wikitext'
LEFT JOIN body html ON r.content_visible AND html.wiki_id = r.wiki_id AND html.rev_id = r.rev_id AND html.format = 'html'
LEFT JOIN body json ON r.content_visible AND json.wiki_id = r.wiki_id AND json.rev_id = r.rev_id AND json.format = 'json'
WHERE p.state = 'live'""",
    """
CREATE VIEW attribution WITH (security_barrier) AS
SELECT p.wiki_id, p.page_id, p.title, p.url, p.rev_id, e.editors, e.editors_total,
       NULL::text AS licence,
       concat_ws(', ',
           '"' || p.title || '"',
           p.url,
           CASE
               WHEN e.editors_total = 0 THEN 'by editors whom this mirror cannot name'
               WHEN e.editors_total > cardinality(e.editors)
                   THEN format('by %s and %s more', array_to_string(e.editors, ', '), e.editors_total - cardinality(e.editors))
               ELSE 'by ' || array_to_string(e.editors, ', ')
           END,
           'licence: see the wiki') AS credit
FROM page p
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(n.editor_name ORDER BY n.place) FILTER (WHERE n.place <= 10), ARRAY[]::text[]) AS editors,
           count(*) AS editors_total
    FROM (
        SELECT r.editor_name, row_number() OVER (ORDER BY max(r.rev_dt) DESC NULLS LAST, r.editor_name) AS place
        FROM revision r
        WHERE r.wiki_id = p.wiki_id AND r.page_id = p.page_id AND r.editor_visible AND r.editor_name IS NOT NULL
        GROUP BY r.editor_name
    ) AS n
) AS e
WHERE p.state = 'live'""",
    """
CREATE FUNCTION page_as_of(wiki_id text, page_id bigint, at timestamptz)
RETURNS TABLE (
    title text, namespace_id integer, is_redirect boolean, url text, rev_id bigint, parent_rev_id bigint, rev_dt timestamptz,
    editor_name text, editor_id bigint, comment text, is_minor boolean, sha1 text, size bigint, content_model text,
    content_visible boolean, editor_visible boolean, comment_visible boolean, wikitext text, html text, "json" text
)
LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
    SELECT p.title, p.namespace_id, p.is_redirect, p.url, r.rev_id, r.parent_rev_id, r.rev_dt,
           CASE WHEN r.editor_visible THEN r.editor_name END,
           CASE WHEN r.editor_visible THEN r.editor_id END,
           CASE WHEN r.comment_visible THEN r.comment END,
           r.is_minor,
           CASE WHEN r.content_visible THEN r.sha1 END,
           CASE WHEN r.content_visible THEN r.size END,
           r.content_model, r.content_visible, r.editor_visible, r.comment_visible,
           wikitext.text, html.text, json.text
    FROM page p
    CROSS JOIN LATERAL (
        SELECT v.wiki_id, v.rev_id, v.parent_rev_id, v.rev_dt, v.editor_name, v.editor_id, v.comment, v.is_minor, v.sha1,
               v.size, v.content_model, v.content_visible, v.editor_visible, v.comment_visible
        FROM revision v
        WHERE v.wiki_id = p.wiki_id AND v.page_id = p.page_id AND v.rev_dt <= page_as_of.at
        ORDER BY v.rev_dt DESC, v.rev_id DESC
        LIMIT 1
    ) AS r
    LEFT JOIN body wikitext
        ON r.content_visible AND wikitext.wiki_id = r.wiki_id AND wikitext.rev_id = r.rev_id AND wikitext.format = 'wikitext'
    LEFT JOIN body html ON r.content_visible AND html.wiki_id = r.wiki_id AND html.rev_id = r.rev_id AND html.format = 'html'
    LEFT JOIN body json ON r.content_visible AND json.wiki_id = r.wiki_id AND json.rev_id = r.rev_id AND json.format = 'json'
    WHERE p.wiki_id = page_as_of.wiki_id AND p.page_id = page_as_of.page_id AND p.state = 'live';
END""",
    "REVOKE ALL ON FUNCTION page_as_of(text, bigint, timestamptz) FROM PUBLIC",
)

_WIKI = "The wiki's database name, such as enwiki."
_PAGE = "MediaWiki's page id."
_REV = "MediaWiki's revision id."
_STAMP = {
    "stamp_clock": "Register: the clock of the winning change (0 action, 1 receipt, 2 processing; law L1).",
    "stamp_time": "Register: the time of the winning change on its clock.",
    "stamp_id": "Register: the identity of the winning change (law L8).",
    "registers": "Registers of the merge law beyond the winner's rank, kept for as long as the row; not for readers.",
}
_COORDINATES = {
    "source": "The configured name of the source.",
    "topic": "The source's topic or stream.",
    "partition": "The partition within the topic.",
    "offset": "The record's own offset within the partition.",
}
_TIMES = {
    "published": "When the source published the change.",
    "received": "When this program received the record.",
    "applied": "When this program wrote it here.",
}
_VERSION_COLUMNS = {
    "editor_name": "The editor's name; null when hidden, withheld or not known.",
    "editor_id": "The editor's id on the wiki; null for unregistered editors, and whenever the name is null for hiding.",
    "comment": "The edit summary; null when hidden or not known.",
    "is_minor": "Whether the editor marked the edit as minor.",
    "sha1": "MediaWiki's SHA-1 of the text, base 36; null when the text is hidden.",
    "size": "The text's size in bytes as MediaWiki counts it; null when the text is hidden.",
    "content_model": "MediaWiki's content model, such as wikitext.",
    "content_visible": "False when the text is not permitted: hidden, or not proved to be shown again.",
    "editor_visible": "False when the editor's name is not permitted.",
    "comment_visible": "False when the edit summary is not permitted.",
}
_BODY_COLUMNS = {
    "wikitext": "The permitted wikitext, where it is held.",
    "html": "The permitted HTML, where it is held.",
    "json": "The permitted JSON, where it is held.",
}

COMMENTS: Final[dict[str, tuple[str, str, dict[str, str]]]] = {
    "schema_version": (
        "TABLE",
        "The migration this schema is at; the program refuses a schema that is older or newer than itself.",
        {"version_num": "The number of the last migration."},
    ),
    "page": (
        "TABLE",
        "A page as it is now, one row for each page ever named. Deleted pages stay as tombstones, so that nothing late brings"
        " them back. fillfactor 85 leaves room for updates in place (HOT): an edit changes no indexed column.",
        {
            "wiki_id": _WIKI,
            "page_id": _PAGE,
            "state": "live, deleted or vacated (left the mirrored scope or gave up its title); null: known by its id only.",
            "title": "The prefixed title with spaces; null for a suppressed page.",
            "namespace_id": "MediaWiki's namespace number.",
            "is_redirect": "Whether the page is a redirect.",
            "rev_id": "The current revision; only when live.",
            "rev_dt": "The current revision's own timestamp; only when live.",
            "deleted_at": "When it was deleted; only when deleted.",
            "url": "The page's address; only when live.",
            "wikibase_item_id": "The Wikidata item it belongs to, such as Q42; only when live.",
            "published": "When the source published the change that decided this row.",
            **_STAMP,
        },
    ),
    "revision": (
        "TABLE",
        "One revision of a page, with what is permitted of it now. Constraints hold that what is not visible is null."
        " fillfactor 90 leaves room for updates in place.",
        {
            "wiki_id": _WIKI,
            "rev_id": _REV,
            "page_id": "The page it belongs to now; merged and restored histories change it.",
            "parent_rev_id": "The revision before it on its page; 0 for the first, null when not stated.",
            "rev_dt": "The revision's own timestamp; imported ones may be years old.",
            **_VERSION_COLUMNS,
            **_STAMP,
        },
    ),
    "body": (
        "TABLE",
        "A permitted text of a revision. Compressed by lz4 where the server has it. Vacuumed early, so that removed texts"
        " soon leave the files too.",
        {
            "wiki_id": _WIKI,
            "rev_id": _REV,
            "format": "wikitext, html or json.",
            "text": "The text.",
        },
    ),
    "change": (
        "TABLE",
        "The ledger: every change and what became of it, append-only. Partitioned by month of published (UTC);"
        " what no partition takes goes to change_default. Holds ids, kinds and times only; correctness never depends on it.",
        {
            "change_id": "The change's identity (law L8); the same change read twice has two rows.",
            "wiki_id": _WIKI,
            "page_id": _PAGE,
            "rev_id": "The revision that the change named.",
            "kind": "What the change says happened, such as edit, move or delete.",
            "clock": "The clock of time: 0 action, 1 receipt, 2 processing.",
            "time": "When it happened, on that clock.",
            **_TIMES,
            **_COORDINATES,
            "outcome": "applied, or the name of the refusal.",
        },
    ),
    "change_default": ("TABLE", "The ledger's rows whose month has no partition.", {}),
    "correction": (
        "TABLE",
        "What was retracted or restored, and how fast: one row for each deletion, suppression, visibility change, undeletion and"
        " revert. Append-only for everyone (a trigger refuses the rest) and chained by hashes; see correction_chain_breaks().",
        {
            "number": "1 for the first correction, then one more each.",
            "wiki_id": _WIKI,
            "page_id": _PAGE,
            "rev_id": "The revision concerned; null when it is the page.",
            "kind": "The kind of the change that asked for it.",
            "removed": "What it removed from the mirror: any of text, editor, comment, title.",
            "revisions_touched": "How many revisions lost or regained something.",
            "change_id": "The identity of the change that asked for it.",
            **_TIMES,
            "seconds": "From published to applied.",
            **_COORDINATES,
            "previous_hash": "The hash of the correction before; 32 zero bytes for the first.",
            "hash": "sha256(previous_hash || correction_text(row)).",
        },
    ),
    "checkpoint": (
        "TABLE",
        "Where reading goes on: one row for each partition of each source, written in the transaction of the rows it covers."
        " fillfactor 20: each row is updated in place with every batch.",
        {
            "source": _COORDINATES["source"],
            "topic": _COORDINATES["topic"],
            "partition": _COORDINATES["partition"],
            "position": "The next offset to read.",
            "epoch": "Raised by each take-over; a writer of an older epoch cannot write.",
            "writer": "Who took it over last.",
            "updated_at": "When the position last moved.",
        },
    ),
    "dead_letter": (
        "TABLE",
        "A record that was set aside, once for each place in a source.",
        {
            "dead_letter_id": "A number to name it by.",
            **_COORDINATES,
            "reason": "Why, from a closed set; never a quotation of the record.",
            "sqlstate": "Postgres's error code, where Postgres refused it.",
            "constraint_name": "The constraint that refused it, if one did.",
            "wiki_id": "The wiki's database name, if the record tells.",
            "page_id": "The page, if the record tells.",
            "rev_id": "The revision, if the record tells.",
            "payload": "The scrubbed record, kept only when page and revision are known and nothing of it is retracted.",
            "payload_sha256": "SHA-256 of the record as received.",
            "first_seen": "When it was first set aside.",
            "last_seen": "When it was last set aside.",
            "seen": "How often it was set aside.",
        },
    ),
    "gap": (
        "TABLE",
        "A stretch of a source that was lost to this mirror until it is read by other means.",
        {
            "gap_id": "A number to name it by.",
            "source": _COORDINATES["source"],
            "topic": _COORDINATES["topic"],
            "partition": _COORDINATES["partition"],
            "from_position": "The first offset that is missing.",
            "to_position": "The offset after the last that is missing.",
            "from_time": "From when changes may be missing.",
            "to_time": "Until when changes may be missing.",
            "reason": "How it came about.",
            "opened_at": "When it was found.",
            "closed_at": "When it was filled or given up; null while open.",
        },
    ),
    "reconcile": (
        "TABLE",
        "A page or revision that the stream leaves in doubt, to be read again from the source.",
        {
            "wiki_id": _WIKI,
            "page_id": _PAGE,
            "rev_id": "The revision in doubt; 0 for the page itself.",
            "reason": "What the stream left open.",
            "opened_at": "When the doubt arose.",
            "change_id": "The change that raised it.",
        },
    ),
    "current_page": (
        "VIEW",
        "Live pages with their current revision and its permitted texts: serve from here.",
        {
            "wiki_id": _WIKI,
            "page_id": _PAGE,
            "title": "The prefixed title with spaces.",
            "namespace_id": "MediaWiki's namespace number.",
            "is_redirect": "Whether the page is a redirect.",
            "url": "The page's address.",
            "wikibase_item_id": "The Wikidata item it belongs to.",
            "rev_id": "The current revision.",
            "rev_dt": "The current revision's own timestamp.",
            "parent_rev_id": "The revision before it; 0 for the first.",
            **_VERSION_COLUMNS,
            "published": "When the source published the change that decided this state.",
            **_BODY_COLUMNS,
        },
    ),
    "attribution": (
        "VIEW",
        "A credit line for each live page. It names the editors of the revisions this mirror holds, latest first and at most ten,"
        " never one whose name was hidden.",
        {
            "wiki_id": _WIKI,
            "page_id": _PAGE,
            "title": "The prefixed title with spaces.",
            "url": "The link that the licence asks for.",
            "rev_id": "The current revision.",
            "editors": "Up to ten names, latest editor first.",
            "editors_total": "How many different editors this mirror could name.",
            "licence": "The licence, where the source states it; null means: see the wiki. The public streams never state it.",
            "credit": "The line, ready to print.",
        },
    ),
}

FUNCTION_COMMENTS: Final = {
    "page_as_of(text, bigint, timestamptz)": (
        "A page that is live now, as it was: the revision with the greatest (rev_dt, rev_id) not after the given time, with"
        " only what is still permitted of it. Texts of the past are held when history.bodies = all. No row: not live, or no"
        " revision that old is known. Title, namespace, redirect flag and url are those of today."
    ),
    "ensure_change_partitions(date, date)": (
        "Creates the ledger's monthly partitions from the month of the first date to that of the last, moving rows out of"
        " change_default. Returns how many it made. Call it in a transaction of its own."
    ),
    "prune_change(interval)": (
        "Drops the ledger's partitions whose newest applied is older than now less the interval, and deletes such rows"
        " from change_default. Returns what it removed."
    ),
    "correction_text(correction)": (
        "The canonical text of a correction, which its hash covers: number, wiki_id, page_id, rev_id, kind, removed (joined by"
        " commas), revisions_touched, change_id (hex), published, received, applied, seconds (these four as whole microseconds),"
        " source, topic, partition, offset; joined by |, null as nothing, with \\ and | inside a value preceded by \\."
    ),
    "correction_chain_breaks()": (
        "Where the chain of corrections does not hold, none if all is well. reason: row (its content does not have its hash),"
        " previous (it does not follow the row before), number (rows are missing before it)."
    ),
    "correction_refuse_change()": "Refuses UPDATE, DELETE and TRUNCATE of correction, for everyone.",
}


def upgrade() -> None:
    """Create everything."""
    for statement in (*TABLES, COMPRESSION, *FUNCTIONS, *VIEWS):
        run(statement)
    for name, (kind, text, columns) in COMMENTS.items():
        comment_relation(kind, name, text, columns)
    for signature, text in FUNCTION_COMMENTS.items():
        run(f"COMMENT ON FUNCTION {signature} IS {literal(text)}")
