"""The functions of the first migration: the chain of corrections, the partitions of the ledger."""

from __future__ import annotations

from typing import Final

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
            -- Held until the end. Writers wait at the parent, before a row is sent to a partition: one that waited at the
            -- default partition would find its row forbidden there afterwards.
            LOCK TABLE ONLY change IN SHARE ROW EXCLUSIVE MODE;
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
