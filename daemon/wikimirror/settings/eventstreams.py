"""What a source says that speaks as Wikimedia's public EventStreams does."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, ValidationInfo, field_validator

from wikimirror.settings import values
from wikimirror.settings.base import (
    DAY,
    HOUR,
    MIB,
    MILLISECOND,
    MINUTE,
    SECOND,
    Duration,
    OnGap,
    RecordBytes,
    Section,
    Start,
)

Names = Annotated[
    tuple[Annotated[str, AfterValidator(values.check_topic_part)], ...],
    BeforeValidator(values.parse_list),
    AfterValidator(values.check_distinct),
]


class EventStreamsSettings(Section):
    """A source that speaks as Wikimedia's public EventStreams does.

    Its lanes are the topics `<datacentre>.<stream>`, each with the one partition 0.
    """

    type: Literal["eventstreams"]
    url: Annotated[str, AfterValidator(values.check_base_url)] = "https://stream.wikimedia.org"
    """Without a slash at its end."""
    streams: Names = ("mediawiki.page_change.v1", "mediawiki.revision-visibility-change")
    datacentres: Names = ("eqiad", "codfw")
    start: Start = "latest"
    on_gap: OnGap = "continue"
    retention: Annotated[Duration, Field(ge=SECOND, le=366 * DAY)] = timedelta(days=7)
    overlap: Annotated[Duration, Field(ge=timedelta(0))] = timedelta(seconds=120)
    idle_timeout: Annotated[Duration, Field(ge=SECOND, le=HOUR)] = timedelta(minutes=3)
    connect_timeout: Annotated[Duration, Field(ge=100 * MILLISECOND, le=5 * MINUTE)] = timedelta(seconds=10)
    record_bytes: RecordBytes = ByteSize(20 * MIB)

    @field_validator("overlap")
    @classmethod
    def _within_retention(cls, overlap: timedelta, info: ValidationInfo) -> timedelta:
        retention = info.data.get("retention")
        if retention is not None and overlap >= retention:
            raise ValueError(f"must be shorter than retention, which is {values.said(retention)}")
        return overlap
