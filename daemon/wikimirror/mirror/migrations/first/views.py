"""What readers of the first migration are served: views and page_as_of."""

from __future__ import annotations

from typing import Final

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
