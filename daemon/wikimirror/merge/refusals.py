"""Why a change altered nothing that a reader sees. The names are metric labels and ledger outcomes: a closed set."""

from __future__ import annotations

from enum import StrEnum


class Refusal(StrEnum):
    """Reasons of a refusal."""

    DUPLICATE = "duplicate"
    """The same change (L8) was accepted before."""
    STALE = "stale"
    """Newer statements already say all that this one says."""
    DELETED = "deleted"
    """A deletion stands: the change does not lie after it, or names a revision that went with it (L2)."""
    RESTORED = "restored"
    """It lies below the floor that a restoration set (L3)."""
