"""What the fourth migration says of what it adds; docs/schema.md is made of it."""

from __future__ import annotations

from typing import Final

COLUMN_COMMENTS: Final = {
    "dead_letter.published": "When the source's log took the record in; null where the transport does not tell.",
    "dead_letter.retracts": "Whether the record takes something away: then its page is hidden until it is read again.",
    "dead_letter.hidden": "Whether the page was hidden as the record was set aside. False for one that retracts: its text may still be served.",
    "member.why": "The state in words.",
    "gap.reason": "How it came about: retention, jump, truncated, or skipped where a person moved the position over it.",
    "gap.replay_id": "The replay that closed it; null where it is open or was closed by other means.",
}

COMMENTS: Final[dict[str, tuple[str, str, dict[str, str]]]] = {
    "operation": (
        "TABLE",
        "Who did what: a row for each command that writes, dry runs included. Nothing deletes rows.",
        {
            "operation_id": "Number of the row.",
            "who": "Who ran the command: WIKIMIRROR_OPERATOR, else the user and host of the process.",
            "role": "The role of the database session.",
            "command": "The command, such as dead-letters redrive.",
            "arguments": "Its options and arguments as given, without secrets.",
            "dry_run": "Whether it only showed what it would do.",
            "started_at": "When it began, by the server's clock.",
            "ended_at": "When it ended; null while it runs, or where its process was killed.",
            "result": "running, done, refused (it changed nothing and said why), failed or interrupted.",
            "summary": "What it did, in numbers; the error's kind where it failed.",
        },
    ),
    "replay": (
        "TABLE",
        "Replays: ranges of a source that are or were read again beside the daemon. Their positions are rows of checkpoint with the source replay:<replay_id>.",
        {
            "replay_id": "Number of the replay.",
            "source": "The source that is read, or capture.",
            "asked": "What was asked for: range, filters and rate, as given.",
            "state": "running, done, failed or interrupted. A running one whose seen_at is old was killed; it can be resumed like the last two.",
            "holder": "The process that works or last worked on it.",
            "records_read": "Records read so far.",
            "summary": "What became of them, in numbers.",
            "gap_id": "The gap that it fills; null where it fills none.",
            "began_at": "When it was first started.",
            "seen_at": "When it last told of itself.",
            "ended_at": "When it was done, failed or was interrupted.",
        },
    ),
    "replay_lane": (
        "TABLE",
        "The range of each lane that a replay reads.",
        {
            "replay_id": "The replay.",
            "topic": "The topic, or the capture's name.",
            "partition": "The partition.",
            "from_position": "The first position to read.",
            "from_time": "The instant to read from, for sources that are resumed by time.",
            "to_position": "The position to stop before; null where the range ends by time.",
            "to_time": "The instant to stop before; null where the range ends by position.",
            "done": "Whether the lane was read to the end of its range.",
        },
    ),
    "lane": (
        "TABLE",
        "How each lane fares, as the process that holds it last told, every few seconds. For people: nothing is decided by it.",
        {
            "source": "The configured name of the source.",
            "topic": "The topic.",
            "partition": "The partition.",
            "holder": "The process that told.",
            "state": "current, catching_up, growing, stalled, silent or rewound.",
            "position": "The next position to read, as durable.",
            "seconds_behind": "How long ago that was published which becomes durable next; null while not known.",
            "records_behind": "Records that are not durable yet; null where the source does not tell its end.",
            "catch_up_seconds": "When it will be current at its present rate; null while it is, or is not known. Infinity: never.",
            "headroom_seconds": "How long until the source deletes what is to be read next; null while not known.",
            "headroom_records": "Records between the oldest that the source holds and the position; null where it does not tell.",
            "evidence": "The numbers that the state was judged by.",
            "seen_at": "When this was told, by the server's clock.",
        },
    ),
}
