"""Decoding, by dialect."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from tests.bench.telling import whole
from wikimirror.model import Coordinates, Record
from wikimirror.rehearsal import simulate_day
from wikimirror.wire import decode


def measure(rounds: int) -> dict[str, tuple[int, float, list[float]]]:
    """By dialect: records, their mean size in bytes, and records a second of each round."""
    dialects = {
        "page_change": "mediawiki.page_change.v1",
        "page_content_change": "mediawiki.page_content_change.v1",
        "revision-visibility-change": "mediawiki.revision-visibility-change",
    }
    day = simulate_day(1, 10_000)
    rates: dict[str, tuple[int, float, list[float]]] = {}
    for dialect, stream in dialects.items():
        records = [
            Record(Coordinates("bench", a.topic, 0, a.offset), a.value, a.published)
            for a in day.arrivals
            if a.value is not None and a.topic.endswith(stream)
        ]
        runs = []
        for _ in range(rounds):
            started = time.perf_counter()
            for record in records:
                decode(record)
            runs.append(len(records) / (time.perf_counter() - started))
        rates[dialect] = (len(records), statistics.mean(len(r.value or b"") for r in records), runs)
    return rates


def lines(rates: dict[str, tuple[int, float, list[float]]]) -> Iterator[str]:
    """The section of docs/benchmarks.md."""
    yield from (
        "## Decoding",
        "",
        "One thread, records of a simulated day, bytes to change.",
        "",
        "| dialect | records | mean size, bytes | records/s of each round | median, µs a record |",
        "|---|---|---|---|---|",
    )
    for dialect, (count, mean, runs) in rates.items():
        median = 1_000_000 / statistics.median(runs)
        yield f"| {dialect} | {count:,} | {mean:,.0f} | {whole(runs)} | {median:.1f} |"
    yield ""
