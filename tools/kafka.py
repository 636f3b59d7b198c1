"""Gets Apache Kafka by Maven for tests and the demo, into a cache outside the tree, each jar checked.

`get` does so unless it is there already; `lock` writes tools/kafka.sha256 from what tools/kafka.pom.xml asks for now.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from wikimirror.rehearsal.broker_home import LEAST_JAVA, find_java, kafka_home

HERE: Final = Path(__file__).resolve().parent
POM: Final = HERE / "kafka.pom.xml"
LOCK: Final = HERE / "kafka.sha256"
MAVEN: Final = "mvn"
COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


def main(arguments: list[str]) -> int:
    """Runs `get` (also without an argument) or `lock`; returns the exit code."""
    match arguments:
        case [] | ["get"]:
            return _get()
        case ["lock"]:
            return _lock()
        case _:
            print("usage: kafka.py [get | lock]", file=sys.stderr)
            return 2


def faults_of(libs: Path, locked: dict[str, str]) -> list[str]:
    """What is wrong with the files in `libs`, one sentence each. `locked`: file name to SHA-256."""
    found = {path.name: path for path in libs.iterdir()}
    faults = [f"{name} is missing" for name in sorted(locked.keys() - found.keys())]
    faults += [f"{name} is not in tools/{LOCK.name}" for name in sorted(found.keys() - locked.keys())]
    for name in sorted(found.keys() & locked.keys()):
        if _sha256(found[name]) != locked[name]:
            faults.append(f"{name} is not the file that tools/{LOCK.name} knows")
    return faults


def read_lock(text: str) -> dict[str, str]:
    """File name to SHA-256, of lines as sha256sum writes them."""
    pairs = (line.split() for line in text.splitlines() if line.strip())
    return {name: digest for digest, name in pairs}


def _get() -> int:
    home = kafka_home()
    libs = home / "libs"
    locked = read_lock(LOCK.read_text(encoding="ascii"))
    if libs.is_dir() and not faults_of(libs, locked):
        print(f"kafka: already in {home}, {_told(libs)}, each as locked")
        return 0
    if faults := _missing_programs():
        return _fail(faults)
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{home.name}-", dir=home.parent) as made:
        fresh = Path(made) / "fresh"
        if fault := _download(fresh / "libs"):
            return _fail([fault])
        if faults := faults_of(fresh / "libs", locked):
            return _fail([*faults, f"nothing was kept; after a change of tools/{POM.name}: python tools/kafka.py lock"])
        if not _put(fresh, home, Path(made) / "former", locked):
            return _fail([f"{home} holds something else and could not be replaced; remove it, or name another place"])
    print(f"kafka: got into {home}, {_told(libs)}, each as locked")
    return 0


def _lock() -> int:
    if faults := _missing_programs():
        return _fail(faults)
    with tempfile.TemporaryDirectory() as made:
        libs = Path(made) / "libs"
        if fault := _download(libs):
            return _fail([fault])
        lines = [f"{_sha256(path)}  {path.name}\n" for path in sorted(libs.iterdir())]
    LOCK.write_text("".join(lines), encoding="ascii")
    print(f"kafka: {len(lines)} jars are in tools/{LOCK.name}; read its difference before you trust it")
    return 0


def _missing_programs() -> list[str]:
    faults = []
    if find_java() is None:
        faults.append(f"Java {LEAST_JAVA} or later is missing: apt install openjdk-17-jre-headless")
    if shutil.which(MAVEN) is None:
        faults.append("Maven is missing: apt install maven")
    return faults


def _download(libs: Path) -> str | None:
    """Let Maven fill `libs`; what went wrong, if something did."""
    with tempfile.TemporaryDirectory() as work:
        pom = Path(work) / "pom.xml"
        shutil.copyfile(POM, pom)
        done = subprocess.run(
            [MAVEN, "--batch-mode", "--quiet", "--file", str(pom), COPY, f"-DoutputDirectory={libs}"],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        errors = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
        return f"Maven failed: {errors[0].removeprefix('[ERROR] ') if errors else done.stderr.strip() or 'no message'}"
    return None


def _put(fresh: Path, home: Path, former: Path, locked: dict[str, str]) -> bool:
    """Move `fresh` to `home`, and what was there to `former`. Whoever did the same meanwhile was as right."""
    try:
        if home.exists():
            home.rename(former)
        fresh.rename(home)
    except OSError:
        return (home / "libs").is_dir() and not faults_of(home / "libs", locked)
    return True


def _told(libs: Path) -> str:
    sizes = [path.stat().st_size for path in libs.iterdir()]
    return f"{len(sizes)} jars, {sum(sizes) / 1e6:.0f} MB"


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _fail(faults: list[str]) -> int:
    print("\n".join(f"kafka: {fault}" for fault in faults), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
