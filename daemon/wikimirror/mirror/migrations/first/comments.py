"""What the first migration says of every table, column, view and function; docs/schema.md is made of it."""

from __future__ import annotations

from typing import Final

_WIKI = "The wiki's database name, such as enwiki."
_PAGE = "MediaWiki's page id."
_REV = "MediaWiki's revision id."
_STAMP = {
    "stamp_clock": "Register: the clock of the winning change (0 action, 1 receipt, 2 processing; law L1).",
    "stamp_time": "Register: the time of the winning change on its clock, in microseconds since the epoch.",
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
        (
            "A page as it is now, one row for each page ever named. Deleted pages stay as tombstones, so that nothing late brings"
            " them back. fillfactor 85 leaves room for updates in place (HOT): an edit changes no indexed column."
        ),
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
        (
            "One revision of a page, with what is permitted of it now. Constraints hold that what is not visible is null."
            " fillfactor 90 leaves room for updates in place."
        ),
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
    "revision_page": (
        "TABLE",
        "The pages that changes named for a revision, where they named more than one (merged or re-created pages; law L5).",
        {"wiki_id": _WIKI, "rev_id": _REV, "page_id": "A page that some change named for it."},
    ),
    "body": (
        "TABLE",
        (
            "A permitted text of a revision. Compressed by lz4 where the server has it. Vacuumed early, so that removed texts"
            " soon leave the files too."
        ),
        {
            "wiki_id": _WIKI,
            "rev_id": _REV,
            "format": "wikitext, html or json.",
            "text": "The text.",
        },
    ),
    "change": (
        "TABLE",
        (
            "The ledger: every change and what became of it, append-only. Partitioned by month of published (UTC);"
            " what no partition takes goes to change_default. Holds ids, kinds and times only; correctness never depends on it."
        ),
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
        (
            "What was retracted or restored, and how fast: one row for each deletion, suppression, visibility change, undeletion and"
            " revert. Append-only for everyone (a trigger refuses the rest) and chained by hashes; see correction_chain_breaks()."
        ),
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
        (
            "Where reading goes on: one row for each partition of each source, written in the transaction of the rows it covers."
            " fillfactor 20: each row is updated in place with every batch."
        ),
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
        (
            "A credit line for each live page. It names the editors of the revisions this mirror holds, latest first and at most ten,"
            " never one whose name was hidden."
        ),
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
