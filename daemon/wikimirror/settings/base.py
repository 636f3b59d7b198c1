"""What every section of settings is made of: the model they share, and values that several of them hold."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field

from wikimirror.settings import values

MILLISECOND: Final = timedelta(milliseconds=1)
SECOND: Final = timedelta(seconds=1)
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
KIB: Final = 1024
MIB: Final = 1024**2
GIB: Final = 1024**3

Duration = Annotated[timedelta, BeforeValidator(values.parse_duration)]
Start = Annotated[Literal["latest", "earliest"] | datetime, BeforeValidator(values.parse_start)]
"""Where lanes start that were never read. An instant is in UTC."""
OnGap = Literal["continue", "halt"]
RecordBytes = Annotated[ByteSize, Field(ge=KIB, le=GIB)]
"""The longest record that a source takes."""


class Section(BaseModel):
    """Some keys that belong together."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True, populate_by_name=True
    )
