"""Where threads and tasks are, as `file:line function`. Neither variables nor lines of source are looked at."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import PurePath
from types import FrameType
from typing import Any, Final

FRAMES: Final = 40
"""Innermost frames told of each thread and task."""
TASKS: Final = 100
"""Tasks told of: a daemon has a few for each source."""

Stack = dict[str, Any]
"""`of`, the name of the thread or task, and `frames`, innermost last."""


def thread_stacks(without: int | None = None) -> list[Stack]:
    """Every thread but the one with the identifier `without`. May be called from any thread."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    # There is no other way to see where a thread is that does not answer.
    frames = sys._current_frames()  # noqa: SLF001  # documented, for debugging
    return [
        {"of": names.get(ident, "not Python's"), "frames": _told(_frames_of_thread(frame))}
        for ident, frame in frames.items()
        if ident != without
    ]


def task_stacks() -> list[Stack]:
    """Every task of the running loop, the greatest number being TASKS. Only for the loop's own thread."""
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    return [{"of": task.get_name(), "frames": _told(_frames_of_task(task))} for task in tasks[:TASKS]]


def _told(frames: list[tuple[FrameType, int]]) -> list[str]:
    return [_place(frame, line) for frame, line in frames[-FRAMES:]]


def _place(frame: FrameType, line: int) -> str:
    """The file with its directory's name: many are called `__init__.py`."""
    code = frame.f_code
    return f"{'/'.join(PurePath(code.co_filename).parts[-2:])}:{line} {code.co_qualname}"


def _frames_of_thread(frame: FrameType) -> list[tuple[FrameType, int]]:
    return list(traceback.walk_stack(frame))[::-1]


def _frames_of_task(task: asyncio.Task[Any]) -> list[tuple[FrameType, int]]:
    """A suspended task's coroutines, each awaiting the next; `Task.get_stack` tells only the first."""
    return [(frame, frame.f_lineno) for frame in _suspended(task.get_coro())]


def _suspended(waiting: object) -> Iterator[FrameType]:
    while waiting is not None:
        kind = next((kind for kind in ("cr", "gi", "ag") if hasattr(waiting, f"{kind}_frame")), None)
        if kind is None:
            return
        frame = getattr(waiting, f"{kind}_frame")
        if frame is not None:
            yield frame
        waiting = getattr(waiting, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")
