"""The facts of each command, in one table. Short sentences: a person reads them at 3 a.m."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_NOTHING: Final = "nothing: it reads Postgres only."
_SAFE: Final = "safe."
_NO_UNDO: Final = "nothing to undo."
_BREAKER: Final = ("dead_letters.halt_consecutive", "dead_letters.halt_share", "dead_letters.halt_window")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What somebody must know before giving a command."""

    touches: str
    """What it reads and writes."""
    beside: str = _SAFE
    """Whether it may be given while the daemon runs."""
    undo: str = _NO_UNDO
    one: str = "failed"
    """What the exit code 1 means."""
    three: str = ""
    """What the exit code 3 means. Empty: it never ends with it."""
    writes: bool = False
    """Whether it notes itself in the table operation, with who gave it."""
    settings: tuple[str, ...] = ()
    """Keys of settings, beside those of its options, that decide what it does."""


FACTS: Final[Mapping[str, Facts]] = {
    "demo": Facts(
        touches="an embedded Postgres of its own, which it empties; with --postgres a schema that must not exist yet.",
        beside="safe. It needs its own schema, and no source of yours.",
        undo="drop the schema, or leave it: each demo begins anew.",
        one="failed, or a situation did not come up",
        three="mirror and wiki differ, or something removed is left",
    ),
    "run": Facts(
        touches="the mirror's tables, its positions and its books, and the configured sources, which it reads.",
        beside="safe. A second one stands by, or takes its share of Kafka's partitions.",
        undo="stop it: what is in the mirror is what the source said. Rewind with checkpoints rewind.",
        settings=("admin.listen", "lease.duration", "memory.bytes", "run.drain_timeout", *_BREAKER),
    ),
    "check-source": Facts(
        touches="nothing: it reads the source. No database is needed.",
        beside="safe. It uses one of the two connections that EventStreams allows an address; it joins no Kafka group.",
        one="failed, or nothing came, or a record could not be read",
        settings=("http.contact",),
    ),
    "status": Facts(touches=_NOTHING),
    "explain": Facts(
        touches="nothing: it reads Postgres only, and says so when Postgres is gone.",
        three="something holds a lane back, or waits for a person",
    ),
    "config show": Facts(touches="nothing: it reads the settings. Secrets are masked."),
    "check-config": Facts(touches="nothing: it reads the settings."),
    "play": Facts(
        touches="the mirror's tables and positions, from captures. The schema is made or migrated first.",
        beside="safe: order and repetition change nothing. Not in an embedded Postgres that the daemon uses.",
        undo="none: what a capture says is applied. Read the source again with replay where a capture was wrong.",
        three="records are not accounted for",
    ),
    "migrate": Facts(
        touches="the schema: tables, columns, views, roles. One transaction.",
        beside="safe: the release before works on the new schema. It waits 5 s for locks, then changes nothing.",
        undo="none but a backup: a program refuses a schema newer than itself.",
        three="with --check: the schema is not the one needed",
    ),
    "sql": Facts(touches="nothing: one statement that reads, in a read-only transaction."),
    "page show": Facts(touches=_NOTHING, one="failed, or there is no such page"),
    "page history": Facts(touches=_NOTHING, one="failed, or there is no such page"),
    "dead-letters list": Facts(touches=_NOTHING),
    "dead-letters show": Facts(touches=_NOTHING, one="failed, or there is no such letter"),
    "dead-letters redrive": Facts(
        touches="the mirror, dead_letter, operation; it reads the source where a letter has no payload. No lane moves.",
        beside="safe: an old record cannot undo a newer one. --dry-run tells what each would do, and changes no row.",
        undo="none is needed: a record that is stale alters nothing, and one that fails again stays set aside.",
        one="failed, or a record could not be had",
        three="a letter still fails",
        writes=True,
    ),
    "dead-letters discard": Facts(
        touches="dead_letter and operation. The mirror's tables stay as they are.",
        beside="safe. --dry-run tells which letters would go.",
        undo="read the record again with replay, by what operations keeps of it, while the source has it.",
        writes=True,
    ),
    "replay": Facts(
        touches="the mirror, dead_letter, replay, operation, a checkpoint of its own; with --gap, gap. No lane moves.",
        beside="safe: what is newer stays, --rate bounds what it takes from the daemon. --dry-run changes no row.",
        undo="none is needed: what is read twice alters nothing. Stop it with Ctrl-C, go on with --resume.",
        three="part of the range is gone, a gap stays open, or the --dry-run would change something",
        writes=True,
    ),
    "replays": Facts(touches=_NOTHING),
    "checkpoints list": Facts(touches=_NOTHING),
    "checkpoints set": Facts(
        touches="checkpoint and operation; moved forward, it opens a gap.",
        beside="refused while a process owns the lane. Stop the daemon first; the --dry-run is safe at any time.",
        undo="set it back: the command prints the position that was, and operations keeps it.",
        writes=True,
    ),
    "checkpoints rewind": Facts(
        touches="checkpoint and operation.",
        beside="refused while a process owns the lane. Use replay beside a daemon; the --dry-run is safe at any time.",
        undo="checkpoints set to the position that was, which it prints. Left alone, records are read twice, in vain.",
        writes=True,
    ),
    "gaps": Facts(touches=_NOTHING),
    "operations": Facts(touches=_NOTHING),
    "purge": Facts(
        touches="every table that holds something of the wiki, and operation. It deletes.",
        beside="safe once the wiki is out of scope.wikis and the daemon was restarted; refused before.",
        undo="none. Before the wiki is mirrored again, read docs/scope.md: what held its removals is gone too.",
        three="rows of the wiki came back meanwhile: a daemon still has it in scope",
        writes=True,
        settings=("scope.wikis",),
    ),
}
"""By the command's words."""
