"""Where Apache Kafka's jars and a Java for them are on this machine, or which broker is to be used instead.

`make kafka` puts the jars there. They are outside the tree, for every working copy alike, and outside the wheel.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

KAFKA_VERSION: Final = "4.3.1"
HOME_VARIABLE: Final = "WIKIMIRROR_KAFKA_HOME"
OUTSIDE_VARIABLE: Final = "KAFKA_BOOTSTRAP"
LEAST_JAVA: Final = 17
"""Kafka 4's servers need Java 17: https://kafka.apache.org/43/getting-started/compatibility/."""

HOW_TO_GET_KAFKA: Final = (
    f"`make kafka` in a checkout of wikimirror gets it (Java {LEAST_JAVA} and Maven needed:"
    f" apt install openjdk-17-jre-headless maven), or name a broker: {OUTSIDE_VARIABLE}=host:port"
)


def kafka_home() -> Path:
    """The directory where Kafka is looked for: $WIKIMIRROR_KAFKA_HOME, or the user's cache."""
    named = os.environ.get(HOME_VARIABLE)
    if named:
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "wikimirror" / f"kafka-{KAFKA_VERSION}"


def find_kafka() -> Path | None:
    """The directory that holds Kafka's jars in `libs`, or None where it was not made."""
    home = kafka_home()
    return home if any((home / "libs").glob("kafka_2.13-*.jar")) else None


def find_java() -> Path | None:
    """A `java` of version 17 or later: that of $JAVA_HOME, else the first on the path. None where there is none."""
    java_home = os.environ.get("JAVA_HOME")
    beside = [str(Path(java_home) / "bin" / "java")] if java_home else []
    for name in (*beside, "java"):
        found = shutil.which(name)
        if found is not None and _java_version(found) >= LEAST_JAVA:
            return Path(found)
    return None


def outside_broker() -> str | None:
    """The bootstrap servers ("host:port", commas between) that $KAFKA_BOOTSTRAP names to use instead of our own."""
    return os.environ.get(OUTSIDE_VARIABLE, "").strip() or None


def _java_version(java: str) -> int:
    """The feature release (17 of 17.0.15; 8 of 1.8.0), 0 where it does not tell."""
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(found[1]) if found else 0
