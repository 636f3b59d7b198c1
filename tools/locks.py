"""Makes and checks the lock files: exact versions with hashes, the same for every platform and supported Python.

`make` resolves what pyproject.toml asks for; `check` needs no network: it says whether the locks were made from
pyproject.toml as it is now, pin everything it names within its bounds, hash every file and name no host.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parent.parent
LOWEST_PYTHON: Final = "3.11"
LOCKS: Final = {
    "dev": ["--extra", "embedded", "--group", "dev", "--group", "build"],
    "run": ["--extra", "embedded", "--group", "build", "--constraint", "requirements/dev.lock"],
}
"""dev first: run takes its versions from it, so that one environment can serve both."""

PIN: Final = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+?)(?:\s*;[^\\]*)?\s*\\?$")


def main(arguments: list[str]) -> int:
    """Runs `make` (with `--upgrade` to take the newest versions) or `check`; returns the exit code."""
    match arguments:
        case ["make", *options] if set(options) <= {"--upgrade"}:
            for name, selection in LOCKS.items():
                _make(name, selection, options)
            return 0
        case ["check"]:
            faults = [fault for name in LOCKS for fault in faults_of(name)]
            print("\n".join(faults) or f"lock-check: {len(LOCKS)} lock files agree with pyproject.toml")
            return 1 if faults else 0
        case _:
            print("usage: locks.py make [--upgrade] | check", file=sys.stderr)
            return 2


def faults_of(name: str) -> list[str]:
    """What is wrong with the lock file `requirements/<name>.lock`, one sentence each."""
    path = _path(name)
    if not path.exists():
        return [f"{path.name}: is missing; run `make lock`"]
    text = path.read_text(encoding="utf-8")
    faults = []
    if _stamp() not in text:
        faults.append(f"{path.name}: was made from another pyproject.toml; run `make lock`")
    if "://" in text:
        faults.append(f"{path.name}: names a host; run `make lock`")
    blocks = [block for block in re.split(r"\n(?=\S)", text) if not block.startswith("#")]
    pins: dict[str, str] = {}
    for block in blocks:
        first = block.splitlines()[0]
        found = PIN.match(first)
        if found is None:
            faults.append(f"{path.name}: {first!r} pins no version")
            continue
        pins[canonicalize_name(found["name"])] = found["version"]
        if "--hash=sha256:" not in block:
            faults.append(f"{path.name}: {found['name']} has no hash")
    for wanted in map(Requirement, _direct(name)):
        version = pins.get(canonicalize_name(wanted.name))
        if version is None or not wanted.specifier.contains(version, prereleases=True):
            faults.append(f"{path.name}: {wanted} is asked for, {version or 'nothing'} is locked; run `make lock`")
    return faults


def _make(name: str, selection: list[str], options: list[str]) -> None:
    path = _path(name)
    path.parent.mkdir(exist_ok=True)
    command = ["uv", "pip", "compile", "pyproject.toml", *selection, *options]
    command += ["--universal", "--python-version", LOWEST_PYTHON, "--generate-hashes", "--no-header", "--quiet"]
    command += ["--no-annotate", "--output-file", str(path.relative_to(ROOT))]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    pins = path.read_text(encoding="utf-8")
    path.write_text(f"# Made by `make lock` for Python {LOWEST_PYTHON} and later; do not edit.\n{_stamp()}\n{pins}")
    print(f"{path.relative_to(ROOT)}: {len(re.findall(r'^[a-z0-9]', pins, re.MULTILINE))} packages")


def _path(name: str) -> Path:
    return ROOT / "requirements" / f"{name}.lock"


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _direct(name: str) -> list[str]:
    document = _pyproject()
    wanted = list(document["project"]["dependencies"])
    for flag, value in zip(LOCKS[name][::2], LOCKS[name][1::2], strict=True):
        if flag == "--extra":
            wanted += document["project"]["optional-dependencies"][value]
        elif flag == "--group":
            wanted += document["dependency-groups"][value]
    return wanted


def _stamp() -> str:
    document = _pyproject()
    project = document["project"]
    inputs = [
        project["requires-python"],
        project["dependencies"],
        project["optional-dependencies"],
        document["dependency-groups"],
        document["build-system"]["requires"],
    ]
    return f"# inputs sha256:{hashlib.sha256(json.dumps(inputs).encode()).hexdigest()}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
