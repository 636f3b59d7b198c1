"""What is told to a broker, and what is taken for Kafka: decided without one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tools.kafka import faults_of, read_lock
from wikimirror.rehearsal.broker_home import KAFKA_VERSION, find_kafka, kafka_home
from wikimirror.rehearsal.broker_properties import BrokerOptions, properties_text, server_properties

ROOT = Path(__file__).resolve().parent.parent.parent


def test_jars_that_are_missing_foreign_or_changed_are_each_told(tmp_path: Path) -> None:
    for name in ("kept.jar", "changed.jar", "foreign.jar"):
        (tmp_path / name).write_bytes(b"as locked")
    locked = dict.fromkeys(("kept.jar", "changed.jar", "gone.jar"), hashlib.sha256(b"as locked").hexdigest())
    (tmp_path / "changed.jar").write_bytes(b"not as locked")
    told = faults_of(tmp_path, locked)
    assert [line.split()[0] for line in told] == ["gone.jar", "foreign.jar", "changed.jar"]


def test_the_locked_jars_are_of_the_version_that_is_looked_for() -> None:
    locked = read_lock((ROOT / "tools" / "kafka.sha256").read_text(encoding="ascii"))
    assert f"kafka_2.13-{KAFKA_VERSION}.jar" in locked
    assert f"<version>{KAFKA_VERSION}</version>" in (ROOT / "tools" / "kafka.pom.xml").read_text(encoding="utf-8")


def test_kafka_is_looked_for_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("WIKIMIRROR_KAFKA_HOME", raising=False)
    assert kafka_home() == tmp_path / "wikimirror" / f"kafka-{KAFKA_VERSION}"
    monkeypatch.setenv("WIKIMIRROR_KAFKA_HOME", str(tmp_path / "mine"))
    assert find_kafka() is None
    (tmp_path / "mine" / "libs").mkdir(parents=True)
    (tmp_path / "mine" / "libs" / f"kafka_2.13-{KAFKA_VERSION}.jar").touch()
    assert find_kafka() == tmp_path / "mine"


def test_a_proxied_listener_tells_another_port_than_its_own_and_properties_win(tmp_path: Path) -> None:
    options = BrokerOptions(proxied=True, properties={"num.partitions": "3"})
    said = server_properties(
        options,
        ports={"controller": 1, "plaintext": 2, "proxied": 3},
        told=4,
        data=tmp_path,
        keystore=tmp_path / "keystore.pem",
    )
    assert said["listeners"] == "CONTROLLER://127.0.0.1:1,PLAINTEXT://127.0.0.1:2,PROXIED://127.0.0.1:3"
    assert said["advertised.listeners"] == "PLAINTEXT://127.0.0.1:2,PROXIED://127.0.0.1:4"
    assert said["num.partitions"] == "3"
    assert not any(key.startswith(("ssl.", "listener.name.", "authorizer.")) for key in said)


def test_what_a_properties_file_cannot_hold_is_escaped_as_java_reads_it() -> None:
    assert properties_text({"key": 'a\\b"ü€😀\nc'}) == 'key=a\\\\b"\\u00fc\\u20ac\\ud83d\\ude00\\nc\n'
