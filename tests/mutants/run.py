"""Break the law and its application on purpose, one break at a time, and see that the tests notice each.

Every break of breaks.toml is made in a copy of the package, and its tests are run against that copy. A break is killed
when an assertion of a test fails; a hang, an import error, or a crash other than the one it says is not enough. First
the same tests must be green on an unbroken copy.
"""
# ruff: noqa: T201  # it prints for a person

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCE: Final = ROOT / "daemon" / "wikimirror"
BREAKS: Final = Path(__file__).with_name("breaks.toml")
HISTORIES: Final = 200
SEED: Final = "20"
LONGEST: Final = 150.0
"""Seconds for one run, all its tests together."""


class Edit(NamedTuple):
    """One exact replacement in a file of the package."""

    file: str
    old: str
    new: str


class Break(NamedTuple):
    """A named break, what it breaks, and the tests of which one must notice."""

    name: str
    says: str
    tests: tuple[str, ...]
    edits: tuple[Edit, ...]
    histories: int = HISTORIES
    error: str = ""


class Outcome(NamedTuple):
    """What came of a run. `killer`: the test whose assertion failed; `trouble`: why there is none, if not survival."""

    killer: str | None
    trouble: str | None
    seconds: float


class DoesNotApplyError(Exception):
    """The source has changed: a break's old text is not there, or more than once."""


def read_breaks(path: Path = BREAKS) -> list[Break]:
    """All breaks, their suites resolved to paths."""
    told = tomllib.loads(path.read_text())
    suites: dict[str, list[str]] = told["suites"]
    return [
        Break(
            each["name"],
            each["says"],
            tuple(test for name in each["tests"] for test in suites.get(name, [name])),
            tuple(Edit(**edit) for edit in each["edit"]),
            each.get("histories", HISTORIES),
            each.get("error", ""),
        )
        for each in told["break"]
    ]


def apply(breaking: Break, package: Path) -> None:
    """Make a break in a copy of the package. Raises DoesNotApplyError."""
    for edit in breaking.edits:
        path = package / edit.file
        text = path.read_text() if path.exists() else ""
        if (count := text.count(edit.old)) != 1:
            raise DoesNotApplyError(f"{edit.file} has this {count} times, not once: {edit.old.strip()!r}")
        path.write_text(text.replace(edit.old, edit.new))
        compile(path.read_text(), str(path), "exec")


def main() -> int:
    """Exit code 1 when a break survives, crashes or does not apply, or when the tests are not green without one."""
    options = _options()
    breaks = read_breaks()
    if options.list:
        width = max(len(each.name) for each in breaks)
        print("\n".join(f"{each.name:{width}}  {each.says}" for each in breaks))
        return 0
    if unknown := set(options.only) - {each.name for each in breaks}:
        print(f"No break is named {', '.join(sorted(unknown))}; --list names them all.", file=sys.stderr)
        return 2
    chosen = [each for each in breaks if not options.only or each.name in options.only]
    started = time.monotonic()
    tests = tuple(dict.fromkeys(test for each in chosen for test in each.tests))
    unbroken = _try(Break("unbroken", "", tests, (), max(each.histories for each in chosen)))
    if unbroken.killer or unbroken.trouble:
        print(f"Without a break the tests are not green: {unbroken.killer or unbroken.trouble}", file=sys.stderr)
        return 1
    print(f"Without a break the tests are green ({unbroken.seconds:.1f} s).\n")
    failed = _report(chosen, options.jobs)
    print(f"\n{len(chosen) - len(failed)} of {len(chosen)} breaks killed in {time.monotonic() - started:.0f} s.")
    if failed:
        print(f"Not killed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _report(chosen: Sequence[Break], jobs: int) -> list[str]:
    """Print a line for each break as it comes; the names of those that no assertion killed."""
    width = max(len(each.name) for each in chosen)
    print(f"{'break':{width}}  seconds  killed by")
    failed = []
    with ThreadPoolExecutor(jobs) as pool:
        for breaking, outcome in zip(chosen, pool.map(_try, chosen), strict=True):
            verdict = outcome.killer
            if verdict is None:
                failed.append(breaking.name)
                verdict = f"NOT KILLED: {outcome.trouble or 'it survived'}"
            print(f"{breaking.name:{width}}  {outcome.seconds:7.1f}  {verdict}", flush=True)
    return failed


def _try(breaking: Break) -> Outcome:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wm-break-") as directory:
        package = Path(directory) / "daemon" / "wikimirror"
        shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
        try:
            apply(breaking, package)
            killer, trouble = _run(package, Path(directory) / "verdict.json", breaking)
        except (DoesNotApplyError, SyntaxError) as error:
            killer, trouble = None, f"it does not apply: {error}"
    return Outcome(killer, trouble, time.monotonic() - started)


def _run(package: Path, verdict: Path, breaking: Break) -> tuple[str | None, str | None]:
    """Run the tests against a copy of the package: the test that killed it, or what went wrong otherwise."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(package.parent), str(ROOT))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "WIKIMIRROR_MUTANTS_PACKAGE": str(package),
        "WIKIMIRROR_MUTANTS_VERDICT": str(verdict),
        "WIKIMIRROR_MUTANTS_ERROR": breaking.error,
        "WIKIMIRROR_HISTORIES": str(breaking.histories),
        "WIKIMIRROR_SEED": SEED,
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.mutants.judge", "-p", "no:cacheprovider"]
    command += ["--timeout=60", "--no-header", "--tb=no", *breaking.tests]
    with _process(command, environment) as process:
        try:
            output, _ = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            return None, f"it hung for {LONGEST:.0f} s"
    if not verdict.exists():
        return None, f"the tests did not run: {' '.join(output.split())[-300:]}"
    told = json.loads(verdict.read_text())
    if told["package"] != str(package.resolve()):
        return None, f"the tests imported {told['package']}"
    if told["killer"] is not None:
        return told["killer"], None
    if told["others"]:
        return None, f"no assertion failed, but: {'; '.join(told['others'][:3])}"
    if process.returncode != 0 or not told["passed"]:
        return None, f"pytest ended with {process.returncode}, {told['passed']} tests passed"
    return None, None


@contextlib.contextmanager
def _process(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process in the repository, with all its output; interrupted if it is still there at the end."""
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                # Like Ctrl-C: its fixtures stop the Postgres that they started.
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=20)
                process.kill()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this break; may be repeated")
    parser.add_argument("--list", action="store_true", help="name the breaks and run nothing")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="runs at a time (default 2)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
