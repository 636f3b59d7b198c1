"""The daemon and the check of a source, built from the settings."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

from wikimirror.app.admin import admin_server
from wikimirror.app.operating import noted
from wikimirror.app.places import Place, find_place, open_session, upgrade_if_missing
from wikimirror.app.running import now, run_to_end
from wikimirror.errors import ConfigurationError, WikimirrorError
from wikimirror.mirror.breaker import Limits
from wikimirror.mirror.connect import Session
from wikimirror.mirror.evict import name_of
from wikimirror.mirror.leases import new_holder
from wikimirror.observe.health import Thresholds
from wikimirror.observe.logging import get_logger
from wikimirror.observe.stall import StallWatch
from wikimirror.observe.telemetry import Telemetry
from wikimirror.observe.vitals import Vitals, Waiting
from wikimirror.ops import check_source as ops_check
from wikimirror.ops.live_reports import CheckReport, RunReport, SourceRun
from wikimirror.ops.play import decoding_of, law_of, scope_of
from wikimirror.ops.reports import PlayReport
from wikimirror.pipeline.daemon import Daemon
from wikimirror.pipeline.group import ConnectAs, GroupSupervisor
from wikimirror.pipeline.housekeeping import Housekeeper, telling_of
from wikimirror.pipeline.pipeline import Durable, Plan
from wikimirror.pipeline.supervise import Supervisor
from wikimirror.pipeline.waiting import patiently, resume
from wikimirror.pipeline.writing import passes
from wikimirror.settings import (
    EventStreamsSettings,
    KafkaSettings,
    Reloader,
    Settings,
    SourceSettings,
    require_runnable,
)
from wikimirror.sources import EventStreams, GroupSource, HttpClient, LiveSource

_LOG = get_logger(__name__)
_IDLE: Final = 10.0
"""Seconds after which the server ends a transaction that stands still: a frozen process then blocks no takeover."""


def run(config: Path | None, flags: Mapping[str, Any], settings: Settings) -> RunReport:
    """Follow the configured sources until stopped. Raises what no waiting will mend, or Aborted.

    `config` and `flags` are what `settings` were read from: secrets among them are read again when they change.
    """
    require_runnable(settings)

    async def work() -> RunReport:
        async with find_place(settings, own=True) as place:
            return await follow(settings, place, Reloader(config, flags))

    return run_to_end(work())


async def follow(settings: Settings, place: Place, reloader: Reloader) -> RunReport:
    """Probes, metrics, stall watch and daemon, until it has drained."""
    telemetry = telemetry_of(settings)
    started = asyncio.Event()
    async with AsyncExitStack() as opened:
        if settings.admin.listen is not None:
            current = partial(_reloaded, reloader)
            admin = admin_server(place, telemetry, started=started.is_set, current=current)
            await opened.enter_async_context(admin)
            _LOG.info("probes and metrics", url=str(admin.url))
        await opened.enter_async_context(StallWatch(telemetry))
        daemon = build_daemon(settings, place, telemetry, reloader=reloader)
        await _migrate(settings, place, telemetry.vitals.values())
        stop_by_signals(daemon.stop)
        started.set()
        begun = time.monotonic()
        async with noted(settings, place, "run", {"sources": list(settings.sources)}):
            await daemon.run()
        return report_of(telemetry, time.monotonic() - begun)


def check_source(settings: Settings, name: str | None, *, seconds: float) -> CheckReport:
    """Read one configured source for a while; nothing is written. Raises SourceRefused, ConfigurationError."""
    require_runnable(settings)
    chosen = _chosen(settings, name)

    async def work() -> CheckReport:
        return await ops_check.check_source(
            _sampled(settings, chosen, Vitals(chosen)),
            scope_of(settings),
            record_bytes=settings.sources[chosen].record_bytes,
            seconds=seconds,
            now=now,
        )

    return run_to_end(work())


def build_daemon(
    settings: Settings,
    place: Place,
    telemetry: Telemetry,
    *,
    reloader: Reloader | None = None,
    on_durable: Callable[[Durable], None] | None = None,
) -> Daemon:
    """A supervisor for each configured source. `on_durable` is told of every batch."""
    holder, connect_as = new_holder(), _connector(settings, place, reloader)
    supervisors: list[Supervisor | GroupSupervisor] = []
    for name, source in settings.sources.items():
        vitals = telemetry.add(Vitals(name))
        vitals.retention = None if source.retention is None else source.retention.total_seconds()
        plan, observer = plan_of(settings, source), _observer(telemetry, name, on_durable)
        if isinstance(source, KafkaSettings):
            vitals.shared, vitals.member_id = True, source.member_id
            kafka = _kafka(settings, name, vitals, reloader)
            supervisors.append(GroupSupervisor(kafka, connect_as, plan, vitals, observer, holder=holder))
        else:
            streams = EventStreams(name, source, HttpClient(settings.http.contact), vitals, now)
            lease = settings.lease.duration.total_seconds()
            connect = connect_as(holder)
            supervisors.append(Supervisor(streams, connect, plan, vitals, observer, holder=holder, lease=lease))
    housekeeper = Housekeeper(
        connect_as(holder),
        keep=settings.ledger.keep,
        on_backlog=telemetry.note_backlog,
        telling=telling_of(telemetry, holder),
    )
    return Daemon(supervisors, housekeeper, drain_timeout=settings.run.drain_timeout.total_seconds())


def _kafka(settings: Settings, name: str, vitals: Vitals, reloader: Reloader | None) -> GroupSource:
    """A source of Kafka; each time it joins its group it has the secrets as their files then say them."""
    from wikimirror.sources.kafka import KafkaSource  # noqa: PLC0415  # commands without Kafka need not load its client

    def now_in_force() -> KafkaSettings:
        source = (settings if reloader is None else _reloaded(reloader)).sources[name]
        assert isinstance(source, KafkaSettings)  # noqa: S101  # the caller looked, and a source's type never changes
        return source

    return KafkaSource(name, now_in_force, vitals, now, memory=_memory_of(settings))


def _sampled(settings: Settings, name: str, vitals: Vitals) -> LiveSource:
    """A source as `check-source` reads it: outside of any group."""
    source = settings.sources[name]
    if isinstance(source, EventStreamsSettings):
        return EventStreams(name, source, HttpClient(settings.http.contact), vitals, now)
    from wikimirror.sources.kafka import KafkaAlone  # noqa: PLC0415  # as above

    return KafkaAlone(name, source, vitals, now, memory=_memory_of(settings))


def _memory_of(settings: Settings) -> int:
    """The share of the memory that one source has, in bytes."""
    return int(settings.memory.bytes) // len(settings.sources)


def plan_of(settings: Settings, source: SourceSettings) -> Plan:
    """How a source's pipeline works: it has its share of the memory."""
    decoding = decoding_of(source)
    return Plan(
        scope=scope_of(settings),
        law=law_of(settings),
        batch_records=settings.apply.batch_records,
        batch_bytes=settings.apply.batch_bytes,
        batch_age=settings.apply.batch_age_ms / 1000,
        memory=_memory_of(settings),
        longest_pause=settings.retry.longest.total_seconds(),
        record_bytes=decoding.record_bytes,
        halt_on_gap=source.on_gap == "halt",
        dialects=decoding.dialects,
        may_set_aside=limits_of(settings),
    )


def limits_of(settings: Settings) -> Limits:
    """How much may be set aside before reading stops instead."""
    limits = settings.dead_letters
    return Limits(consecutive=limits.halt_consecutive, share=limits.halt_share, window=limits.halt_window)


def telemetry_of(settings: Settings) -> Telemetry:
    """Nothing told yet."""
    health = settings.health
    return Telemetry(
        Thresholds(
            stalled_after=health.stalled_after.total_seconds(),
            silent_after=health.silent_after.total_seconds(),
            behind_after=health.behind_after.total_seconds(),
        )
    )


def _connector(settings: Settings, place: Place, reloader: Reloader | None) -> ConnectAs:
    """Opens sessions for writing, named for their writer, each with the secrets as their files then say them."""

    async def connect(name: str) -> Session:
        if place.embedded or reloader is None:
            return await open_session(settings, place, idle=_IDLE, name=name)
        current = _reloaded(reloader)
        url = current.postgres.url
        assert url is not None  # noqa: S101  # a place that is not embedded has one, and keeps it
        there = Place(url.get_secret_value(), embedded=False)
        return await open_session(current, there, idle=_IDLE, name=name)

    return lambda writer: partial(connect, name_of(writer))


def _reloaded(reloader: Reloader) -> Settings:
    """The settings with the secrets as their files now say them; what else changed is told."""
    current = reloader.current()
    if current.fault is not None:
        _LOG.warning("the settings as they are now cannot be used; the former ones stay", reason=str(current.fault))
    if current.needs_restart:
        _LOG.warning("settings have changed that only a restart takes up", keys=list(current.needs_restart))
    return current.settings


def stop_by_signals(stop: Callable[[], None]) -> None:
    """From now on SIGTERM and SIGINT call `stop`."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def report_of(telemetry: Telemetry, seconds: float) -> RunReport:
    """What became of each source's records."""
    return RunReport([SourceRun(name, accounts_of(vitals, seconds)) for name, vitals in telemetry.vitals.items()])


def accounts_of(vitals: Vitals, seconds: float) -> PlayReport:
    """A source's accounts as a report."""
    accounts = vitals.accounts
    return PlayReport(
        read=accounts.read,
        ignored=dict(accounts.ignored),
        applied=dict(accounts.applied),
        refused=dict(accounts.refused),
        set_aside=dict(accounts.set_aside),
        in_flight=accounts.in_flight,
        given_back=accounts.given_back,
        seconds=seconds,
    )


def _observer(telemetry: Telemetry, name: str, also: Callable[[Durable], None] | None) -> Callable[[Durable], None]:
    def observe(durable: Durable) -> None:
        if also is not None:
            also(durable)
        telemetry.observe_freshness(name, durable.fresh)
        telemetry.observe_apply(name, durable.seconds)

    return observe


async def _migrate(settings: Settings, place: Place, sources: Collection[Vitals]) -> None:
    """Migrate a database without the schema once it is there; wait for it without limit, and let sources say so."""
    waiting = Vitals("migration")
    longest = settings.retry.longest.total_seconds()

    def passing(error: WikimirrorError) -> bool:
        return passes(error, connected_before=False)

    async for attempt in patiently(waiting, Waiting.DATABASE, longest, passing, _LOG):
        with attempt:
            try:
                await upgrade_if_missing(settings, place)
            except WikimirrorError as error:
                # Before it has the lease, a source waits for nothing else.
                for vitals in sources:
                    vitals.wait(Waiting.LEASE, str(error))
                raise
            resume(waiting, Waiting.DATABASE, _LOG)
            for vitals in sources:
                vitals.resume(Waiting.LEASE)


def _chosen(settings: Settings, name: str | None) -> str:
    names = list(settings.sources)
    if name is None and len(names) == 1:
        return names[0]
    if name not in settings.sources:
        what = "no source is named" if name is None else f"there is no source {name}"
        raise ConfigurationError(f"{what}; the settings have {', '.join(names)}", remedy="Name one of them.")
    return name
