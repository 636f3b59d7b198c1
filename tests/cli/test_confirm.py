"""Asking for a confirmation, at a real terminal and away from one."""

from __future__ import annotations

import errno
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from wikimirror.cli.confirm import confirm
from wikimirror.errors import Refused

SCRIPT = """
import sys
from wikimirror.cli.confirm import confirm
from wikimirror.errors import Refused
try:
    confirm("Set 3 lanes back?", yes=False)
except Refused as refused:
    print("refused:", refused, "|", refused.remedy)
    sys.exit(1)
print("done")
"""
DEADLINE = 30


@contextmanager
def asking(**streams: IO[bytes] | int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process that asks at a terminal of its own, and the terminal's other end. Its standard output is a pipe.

    Tests that run in the background may ignore SIGINT, which a process inherits; at a terminal it counts.
    """
    ours, theirs = pty.openpty()
    chosen: dict[str, IO[bytes] | int] = {"stdin": theirs, "stderr": theirs, "stdout": subprocess.PIPE, **streams}
    try:
        heeding = [sys.executable, "-c", f"import signal; signal.signal(2, signal.default_int_handler)\n{SCRIPT}"]
        with subprocess.Popen(heeding, start_new_session=True, **chosen) as process:  # type: ignore[call-overload]  # by name
            os.close(theirs)
            yield process, ours
            process.kill()
    finally:
        os.close(ours)


def until(terminal: int, what: bytes) -> bytes:
    """What the terminal shows, up to and with `what`, or to its end."""
    shown = b""
    while what not in shown:
        try:
            more = os.read(terminal, 1024)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            # Nobody has the other end open any more.
            break
        if not more:
            break
        shown += more
    return shown


def answered(answer: bytes) -> tuple[int, str, str]:
    """The exit code, what went to standard output, and what the terminal showed before the answer."""
    with asking() as (process, terminal):
        shown = until(terminal, b"[y/N] ").decode()
        os.write(terminal, answer)
        out, _ = process.communicate(timeout=DEADLINE)
        return process.returncode, out.decode(), shown


@pytest.mark.parametrize("answer", [b"y\n", b"YES\n", b" yes \n"])
def test_yes_at_a_terminal_goes_ahead(answer: bytes) -> None:
    code, out, _ = answered(answer)
    assert (code, out) == (0, "done\n")


@pytest.mark.parametrize("answer", [b"\n", b"n\n", b"no\n", b"yes please\n", b"yy\n", b"\x04"])
def test_anything_else_at_a_terminal_is_a_no(answer: bytes) -> None:
    code, out, _ = answered(answer)
    assert code == 1
    assert out.startswith("refused: it was not confirmed: nothing was changed")


def test_the_question_goes_to_standard_error_and_says_that_enter_is_a_no() -> None:
    _, out, shown = answered(b"y\n")
    assert shown == "Set 3 lanes back? [y/N] "
    assert "?" not in out


def test_ctrl_c_at_the_question_ends_the_program() -> None:
    with asking() as (process, terminal):
        until(terminal, b"[y/N] ")
        process.send_signal(2)
        out, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode != 0
    assert b"done" not in out


@pytest.mark.parametrize("stream", ["stdin", "stderr"])
def test_where_nobody_can_see_the_question_or_answer_it_is_refused_with_what_to_say(stream: str) -> None:
    with asking(**{stream: subprocess.DEVNULL}) as (process, _):
        out, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert b"there is no terminal to ask at: nothing was changed | Look at what --dry-run shows, then say --yes." in out


def test_whoever_said_yes_is_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    confirm("Really?", yes=True)
    assert capsys.readouterr() == ("", "")


def test_what_a_stranger_wrote_steers_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Terminal:
        write = asked.append

        @staticmethod
        def isatty() -> bool:
            return True

        @staticmethod
        def flush() -> None: ...

        @staticmethod
        def readline() -> str:
            return ""

    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(sys, stream, Terminal)
    with pytest.raises(Refused):
        confirm("Discard \x1b[2J?", yes=False)
    assert not re.search(r"[\x00-\x1f]", asked[0])
