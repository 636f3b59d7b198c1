from __future__ import annotations

import asyncio
import io
import json
import logging
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

import pytest
import structlog

from wikimirror.observe.health import Thresholds
from wikimirror.observe.logging import configure
from wikimirror.observe.stacks import FRAMES, TASKS, task_stacks, thread_stacks
from wikimirror.observe.stall import StallWatch
from wikimirror.observe.telemetry import Telemetry
from wikimirror.observe.vitals import Role, Stage, Vitals
from wikimirror.settings import LogSettings

SECRET = "what-nobody-may-read"
DEADLINE = 30.0

HEAD = """
import asyncio, sys, threading, time
from wikimirror.observe.health import Thresholds
from wikimirror.observe.logging import configure
from wikimirror.observe.stall import StallWatch
from wikimirror.observe.telemetry import Telemetry
from wikimirror.settings import LogSettings

configure(LogSettings(format="json"))
telemetry = Telemetry(Thresholds(stalled_after=STALLED_AFTER, silent_after=300, behind_after=60))
"""
STOOD_STILL = "the whole process stood still: stopped, starved or suspended"


@pytest.fixture
def lines() -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """Gives the log's lines of one event so far."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    out = io.StringIO()
    configure(LogSettings(format="json"), out)

    def told(event: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, out.getvalue().splitlines()) if line["event"] == event]

    yield told
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def active(source: str = "eventstreams") -> tuple[Telemetry, Vitals]:
    telemetry = Telemetry(Thresholds(stalled_after=0.4, silent_after=300, behind_after=60))
    vitals = telemetry.add(Vitals(source))
    vitals.role = Role.ACTIVE
    return telemetry, vitals


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not holds():  # a log and a count wake nobody
            await asyncio.sleep(0.02)


def run(code: str) -> list[dict[str, Any]]:
    """The log of a process that ends by itself, and in good order. On a busy machine it may have stood still."""
    done = subprocess.run(program(code, 0.4), capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert SECRET not in done.stderr
    return [line for line in map(json.loads, done.stderr.splitlines()) if line["event"] != STOOD_STILL]


def program(code: str, stalled_after: float) -> list[str]:
    head = HEAD.replace("STALLED_AFTER", str(stalled_after))
    return [sys.executable, "-c", head + textwrap.dedent(code)]


def test_each_freeze_of_the_loop_has_its_stacks_told_once_and_a_line_when_it_gets_on() -> None:
    log = run(f"""
        def sleep_in_the_loop(secret="{SECRET}"):
            until = time.monotonic() + 1.2
            while time.monotonic() < until:
                time.sleep(0.05)

        async def main():
            async with StallWatch(telemetry):
                for _ in range(2):
                    sleep_in_the_loop()
                    await asyncio.sleep(0.5)

        asyncio.run(main())
    """)
    assert [line["event"] for line in log] == ["the event loop is frozen", "the event loop is no longer frozen"] * 2
    frozen, again = log[:2]
    assert (frozen["level"], again["level"]) == ("error", "warning")
    stacks = {stack["of"]: stack["frames"] for stack in frozen["threads"]}
    assert set(stacks) == {"MainThread"}
    assert stacks["MainThread"][-1].endswith(" sleep_in_the_loop")
    assert all(" " in frame and ":" in frame for frame in stacks["MainThread"])
    assert 0.4 <= again["seconds"] <= 5


def test_a_watch_that_nobody_leaves_does_not_keep_the_process() -> None:
    began = time.monotonic()
    log = run("""
        async def main():
            await StallWatch(telemetry).__aenter__()

        asyncio.run(main())
    """)
    assert log == []
    assert time.monotonic() - began < DEADLINE / 2


def test_a_process_that_was_stopped_says_so_and_does_not_blame_its_loop() -> None:
    code = """
        async def main():
            async with StallWatch(telemetry):
                await asyncio.sleep(0.3)
                print("watching", flush=True)
                await asyncio.to_thread(sys.stdin.readline)
                await asyncio.sleep(0.5)

        asyncio.run(main())
    """
    with subprocess.Popen(
        program(code, 1.5),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdin is not None
            assert read_line(process.stdout) == "watching\n"
            process.send_signal(signal.SIGSTOP)
            time.sleep(3)  # for so long it stands still
            process.send_signal(signal.SIGCONT)
            while (told := json.loads(read_line(process.stderr)))["seconds"] < 2.5:
                pass
            _, rest = process.communicate("go on\n", timeout=DEADLINE)
        finally:
            process.kill()
    assert told["event"] == STOOD_STILL
    assert (process.returncode, rest) == (0, "")


def read_line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


async def test_a_stalled_stage_has_all_stacks_told_once_and_a_line_when_it_gets_on(
    lines: Callable[[str], list[dict[str, Any]]],
) -> None:
    telemetry, vitals = active()
    never = asyncio.Event()

    async def write_a_batch(secret: str) -> None:
        await asyncio.wait_for(never.wait(), None)
        raise AssertionError(secret)

    async def apply_batches() -> None:
        vitals.busy(Stage.APPLY)
        await write_a_batch(SECRET)

    task = asyncio.create_task(apply_batches(), name="apply eventstreams")
    async with StallWatch(telemetry) as watch:
        await until(lambda: lines("a stage is stalled"))
        looked = watch._beats
        await until(lambda: watch._beats > looked + 5)
        (told,) = lines("a stage is stalled")
        assert (told["level"], told["stages"]) == ("error", ["eventstreams apply"])
        frames = next(stack["frames"] for stack in told["tasks"] if stack["of"] == "apply eventstreams")
        assert [frame.rpartition(".")[2] for frame in frames[:2]] == ["apply_batches", "write_a_batch"]
        assert frames[-1].endswith(" Event.wait")
        assert "MainThread" in {stack["of"] for stack in told["threads"]}
        assert SECRET not in json.dumps(told)
        vitals.idle(Stage.APPLY)
        await until(lambda: lines("a stage is no longer stalled"))
        (over,) = lines("a stage is no longer stalled")
        assert (over["source"], over["stage"], over["seconds"] >= 0.4) == ("eventstreams", "apply", True)
        vitals.busy(Stage.APPLY)
        await until(lambda: len(lines("a stage is stalled")) == 2)
    assert not lines("the event loop is frozen")
    task.cancel()
    await asyncio.wait({task})


async def test_a_stage_that_beats_or_has_no_work_is_left_alone(lines: Callable[[str], list[dict[str, Any]]]) -> None:
    telemetry, vitals = active()
    vitals.idle(Stage.READ)
    async with StallWatch(telemetry) as watch:

        def gets_on() -> bool:
            vitals.busy(Stage.APPLY)
            return watch._beats > 10

        await until(gets_on)
    assert not lines("a stage is stalled")


async def test_leaving_leaves_neither_thread_nor_task() -> None:
    telemetry, _ = active()
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    for _ in range(3):
        async with StallWatch(telemetry):
            assert len(asyncio.all_tasks()) == len(tasks) + 1
            assert {thread.name for thread in set(threading.enumerate()) - threads} == {"stall watch"}
        assert asyncio.all_tasks() == tasks
        assert set(threading.enumerate()) == threads


async def test_stacks_are_bounded_however_deep_and_many() -> None:
    async def deep(depth: int) -> None:
        if depth:
            await deep(depth - 1)
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(deep(FRAMES + 20)) for _ in range(TASKS + 20)]
    await asyncio.sleep(0)
    stacks = task_stacks()
    assert len(stacks) == TASKS
    assert max(len(stack["frames"]) for stack in stacks) == FRAMES
    assert all(len(stack["frames"]) <= FRAMES for stack in thread_stacks())
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_what_a_task_awaits_within_generators_and_finished_coroutines_is_told_without_failing() -> None:
    async def items() -> Any:
        await asyncio.Event().wait()
        yield 1

    async def consume() -> None:
        async for _ in items():
            pass

    task = asyncio.create_task(consume(), name="consumer")
    await asyncio.sleep(0)
    frames = next(stack["frames"] for stack in task_stacks() if stack["of"] == "consumer")
    assert frames[0].endswith(".consume")
    task.cancel()
    await asyncio.wait({task})
