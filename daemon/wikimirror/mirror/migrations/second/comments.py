"""What the second migration says of what it adds; docs/schema.md is made of it."""

from __future__ import annotations

from typing import Final

COLUMN_COMMENTS: Final = {
    "checkpoint.position_time": (
        "When the source published the newest record before the position, for sources that are resumed by time; null where"
        " that is not known or of no use."
    ),
}

COMMENTS: Final[dict[str, tuple[str, str, dict[str, str]]]] = {
    "lease": (
        "TABLE",
        (
            "Who reads a source that one process at a time reads. It decides who works, by the server's clock; that a former"
            " holder writes nothing is for checkpoint.epoch to see to."
        ),
        {
            "source": "The configured name of the source.",
            "holder": "The process that has it, or had it last: host, process id and a random part.",
            "epoch": "Raised each time another process takes it.",
            "acquired_at": "Since when this holder has had it.",
            "renewed_at": "When the holder last renewed it.",
            "expires_at": "From then on any process may take it.",
        },
    ),
}
