"""What the third migration says of what it adds; docs/schema.md is made of it."""

from __future__ import annotations

from typing import Final

TYPE_COMMENTS: Final = {
    "page_values": "The columns of page that the daemon writes, for its own use.",
    "revision_values": "The columns of revision that the daemon writes, for its own use.",
}

COMMENTS: Final[dict[str, tuple[str, str, dict[str, str]]]] = {
    "member": (
        "TABLE",
        (
            "Which processes follow a source now, as each last told of itself, every few seconds. For people: nothing is"
            " decided by it. A process that ends in good order deletes its rows; what nobody told of for a day is deleted by"
            " the others."
        ),
        {
            "source": "The configured name of the source.",
            "holder": "The process: host, process id and a random part.",
            "member_id": "What the group of a Kafka source knows the process by across restarts; null where it is not told to.",
            "role": "What the process is for the source: starting, standby, active, draining or stopped.",
            "state": "What it is doing, as its probes say: current, catching_up, silent, waiting, stalled and others.",
            "lanes": "How many lanes it holds.",
            "seconds_behind": "How long ago that was published which becomes durable next; null while not known.",
            "records_behind": "Records of its lanes that are not durable yet; null where the source does not tell its end.",
            "in_flight": "Records read of which nothing is durable yet.",
            "version": "The version of the program.",
            "started_at": "When it first told of itself, by the server's clock.",
            "seen_at": "When it last told of itself, by the server's clock.",
        },
    ),
}
