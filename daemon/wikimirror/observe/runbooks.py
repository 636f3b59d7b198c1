"""The runbooks: what to open for what. Each is docs/runbooks/NAME.md, and the name of the alert that leads to it."""

from __future__ import annotations

from enum import StrEnum


class Runbook(StrEnum):
    """A closed set: alerts, `wikimirror explain` and the status page name no other."""

    FRESHNESS = "WikimirrorFreshnessBudgetBurn"
    RETRACTION_LATENCY = "WikimirrorRetractionLatencyBurn"
    LANE_STALLED = "WikimirrorLaneStalled"
    DIVERGING = "WikimirrorCatchUpDiverging"
    HEADROOM = "WikimirrorRetentionHeadroomLow"
    GAP = "WikimirrorGapOpen"
    DEAD_LETTERS = "WikimirrorDeadLetters"
    SOURCE_HALTED = "WikimirrorSourceHalted"
    RETRACTION_SET_ASIDE = "WikimirrorRetractionSetAside"
    SOURCE_SILENT = "WikimirrorSourceSilent"
    SOURCE_UNAVAILABLE = "WikimirrorSourceUnavailable"
    POSTGRES_UNAVAILABLE = "WikimirrorPostgresUnavailable"
    OWNER_FROZEN = "WikimirrorOwnerFrozen"
    PAGES_DIVERGENT = "WikimirrorPagesDivergent"
    METRICS_ABSENT = "WikimirrorMetricsAbsent"
