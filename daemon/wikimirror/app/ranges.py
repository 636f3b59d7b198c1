"""Sources whose records can be read again, built from the settings or from capture files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wikimirror import wire
from wikimirror.app.live import plan_of
from wikimirror.app.running import now
from wikimirror.errors import ConfigurationError, UnreadableRecord
from wikimirror.model import Change, Record
from wikimirror.settings import EventStreamsSettings, Settings
from wikimirror.sources import HttpClient, Recording
from wikimirror.sources.eventstreams_ranges import EventStreamsRanges
from wikimirror.sources.ranges import RangeSource
from wikimirror.sources.recording_ranges import CaptureRanges


def range_source(settings: Settings, name: str, files: Sequence[Path] = ()) -> RangeSource:
    """The source of that name, for reading stretches of it again; `capture` is that of the files.

    Nothing is connected to yet. Raises ConfigurationError for a source that is not in the settings, and for files that
    are missing, cannot be read or belong to no capture.
    """
    if name == wire.CAPTURE:
        return _captures(files)
    if files:
        raise ConfigurationError(
            f"files are named, and {name} does not read files", remedy=f"Say --source {wire.CAPTURE}, or leave --file."
        )
    source = settings.sources.get(name)
    if source is None:
        known = ", ".join([*settings.sources, wire.CAPTURE])
        raise ConfigurationError(f"there is no source {name}", remedy=f"Name one of these: {known}.")
    if isinstance(source, EventStreamsSettings):
        return EventStreamsRanges(name, source, HttpClient(settings.http.contact), now)
    from wikimirror.sources.kafka.ranges import KafkaRanges  # noqa: PLC0415  # its client need not load for the others

    return KafkaRanges(name, source, now, memory=plan_of(settings, source).memory)


def recordings(files: Sequence[Path]) -> list[Recording]:
    """Captures to read, as `play` names them: a topic for each file, its name, or its path where two share a name.

    Raises ConfigurationError for one that cannot be read.
    """
    names = [path.name for path in files]
    found = [Recording(path, now, topic=path.name if names.count(path.name) == 1 else str(path)) for path in files]
    for recording in found:
        recording.require_readable()
    return found


def _captures(files: Sequence[Path]) -> CaptureRanges:
    if not files:
        raise ConfigurationError("no capture is named", remedy="Name the files to read: --file CAPTURE.")
    return CaptureRanges(recordings(files), _published_of)


def _published_of(record: Record) -> int:
    """When a record says that it was published; 0: it does not, or cannot be read."""
    try:
        decoded = wire.decode(record)
    except UnreadableRecord:
        return 0
    return decoded.published if isinstance(decoded, Change) else 0
