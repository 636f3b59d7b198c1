"""A private Apache Kafka for demo and tests: one node on 127.0.0.1, formatted, started, stopped, killed and frozen.

Never for production: one copy of everything, and nothing is flushed to disk before it is acknowledged, as with every
Kafka as it comes. On Linux it dies with the thread that started it, so that nothing is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from wikimirror.errors import WikimirrorError
from wikimirror.rehearsal.broker_home import HOW_TO_GET_KAFKA, LEAST_JAVA, find_java, find_kafka
from wikimirror.rehearsal.broker_properties import (
    HOST,
    BrokerOptions,
    properties_text,
    scram_arguments,
    server_properties,
)

SMALL_JVM: Final = ("-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_ALWAYS: Final = (
    "-Dfile.encoding=UTF-8",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)
# Below the ports that Linux gives to clients. A client that tries again and again at a port of that range where nobody
# listens may be given that very port, is then connected to itself, and the broker cannot have its port back.
_PORTS: Final = range(20_000, 32_000)
_CLUSTER: Final = "wikimirrorRehearsalAA"
_POLL: Final = 0.05
_LAST_LINES: Final = 12
# Asks the kernel to kill the broker when its parent goes (a frozen one would not hear SIGTERM), and becomes it. A
# process of its own, because preexec_fn is not safe in a program that has threads.
_DIES_WITH = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(0)
os.execv(sys.argv[2], sys.argv[2:])
"""


class KafkaBrokerError(WikimirrorError):
    """The rehearsed Kafka broker cannot be started, or does not stop."""


class KafkaBroker:
    """One Kafka node whose data, log and configuration are in `directory`. `async with` it, or `start` and `stop` it.

    Its ports stay the same over restarts, and so does its data. It belongs to no event loop: it may be started in one
    and stopped in another, but in a thread that outlives it (the main thread does). `timeout`: seconds that a start
    may take, and a stop. `jvm`: options of Java instead of `SMALL_JVM`.
    """

    def __init__(
        self,
        directory: Path,
        options: BrokerOptions | None = None,
        *,
        jvm: tuple[str, ...] = SMALL_JVM,
        timeout: float = 60.0,
    ) -> None:
        self.directory = Path(directory).absolute()
        self.options = options or BrokerOptions()
        self.log_file = self.directory / "broker.log"
        self._properties_file = self.directory / "server.properties"
        self._jvm = jvm
        self._timeout = timeout
        ports = _free_ports()
        self._ports = {name: next(ports) for name in self.options.listeners()}
        self._told = next(ports) if self.options.proxied else None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """Where the listener `plaintext` is, as "127.0.0.1:port"."""
        return self.address("plaintext")

    @property
    def pid(self) -> int:
        """The process id of the running broker."""
        return self._require_running().pid

    @property
    def running(self) -> bool:
        """Whether the process is there, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def behind_port(self) -> int:
        """The port on which `proxied` listens: where a proxy connects to."""
        return self._ports["proxied"]

    @property
    def proxied_port(self) -> int:
        """The port that `proxied` tells its clients: where a proxy listens."""
        if self._told is None:
            raise KafkaBrokerError("this broker has no proxied listener", remedy="Make it with proxied=True.")
        return self._told

    def address(self, listener: str) -> str:
        """Where clients find a listener, as "127.0.0.1:port": `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl` as far
        as the options have them, `proxied` at its proxy.
        """
        if listener not in self._ports:
            raise KafkaBrokerError(
                f"this broker has no listener {listener}", remedy=f"It has {', '.join(self._ports)}."
            )
        return f"{HOST}:{self._told if listener == 'proxied' else self._ports[listener]}"

    async def start(self) -> Self:
        """Format the data when there is none, and start the broker until it answers.

        Raises KafkaBrokerError with the broker's last words when Kafka or Java is missing, when it stops while starting
        or does not answer in time.
        """
        if self.running:
            return self
        command = self._java_command()
        self._write_files()
        if not (self.directory / "data" / "meta.properties").exists():
            await self._format(command)
        self._process = self._spawn([*command, "kafka.Kafka", str(self._properties_file)])
        deadline = time.monotonic() + self._timeout
        while not await self._answers():
            if not self.running:
                raise self._failed("stopped while starting")
            if time.monotonic() > deadline:
                await self.kill()
                raise self._failed(f"did not answer within {self._timeout:.0f} s")
            await asyncio.sleep(_POLL)
        return self

    async def stop(self) -> None:
        """Stop it in order (SIGTERM); one that does not stop in time is killed, and an error says so."""
        if not self.running:
            self._process = None
            return
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        if not await self._gone():
            await self.kill()
            raise self._failed(f"did not stop within {self._timeout:.0f} s and was killed")
        self._process = None

    async def kill(self) -> None:
        """Kill it (SIGKILL), frozen or not, and wait until it is gone."""
        if self.running:
            self._signal(signal.SIGKILL)
            await self._gone()
        self._process = None

    def freeze(self) -> None:
        """Stop all its threads (SIGSTOP): its connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Go on after `freeze` (SIGCONT)."""
        self._signal(signal.SIGCONT)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _java_command(self) -> list[str]:
        home, java = find_kafka(), find_java()
        if home is None:
            raise KafkaBrokerError("Apache Kafka is not on this machine", remedy=f"{HOW_TO_GET_KAFKA}.")
        if java is None:
            raise KafkaBrokerError(f"no Java {LEAST_JAVA} or later is on this machine", remedy=f"{HOW_TO_GET_KAFKA}.")
        return [str(java), *self._jvm, *_ALWAYS, "-cp", f"{home / 'libs'}/*"]

    def _write_files(self) -> None:
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            keystore = self.directory / "keystore.pem"
            tls = self.options.tls
            if tls is not None:
                _write_private(keystore, f"{tls.key.read_text('ascii')}\n{tls.certificate.read_text('ascii')}")
            data = self.directory / "data"
            said = server_properties(self.options, ports=self._ports, told=self._told, data=data, keystore=keystore)
            _write_private(self._properties_file, properties_text(said))
        except OSError as error:
            raise KafkaBrokerError(
                f"the directory {self.directory} cannot be used for Kafka: {error.strerror or error}",
                remedy="Choose another directory, or free space and rights on this one.",
            ) from error

    async def _format(self, command: list[str]) -> None:
        users = self.directory / "users"
        _write_private(users, scram_arguments(self.options.users))
        tool = ["kafka.tools.StorageTool", "format", "--cluster-id", _CLUSTER, "--config", str(self._properties_file)]
        # Its parser of arguments fails on an empty file.
        more = [f"@{users}"] if self.options.users else []
        self._process = self._spawn([*command, *tool, *more], quiet=True)
        done = await self._gone() and self._process.poll() == 0
        await self.kill()
        users.unlink()
        if not done:
            raise self._failed("cannot be formatted")

    def _spawn(self, command: list[str], *, quiet: bool = False) -> subprocess.Popen[bytes]:
        """With `quiet` only its errors are kept: formatting prints the users' keys."""
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _DIES_WITH, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if quiet else log,
                stderr=log,
                cwd=self.directory,
                # Ctrl-C is for the program, which drains first and then stops its broker.
                start_new_session=True,
            )

    async def _answers(self) -> bool:
        """Whether the node serves topics and groups; it listens before it does."""
        try:
            _, writer = await asyncio.open_connection(HOST, self._ports["plaintext"])
        except OSError:
            return False
        writer.close()
        return await _is_broker(self.bootstrap)

    async def _gone(self) -> bool:
        process = self._require_running()
        deadline = time.monotonic() + self._timeout
        while process.poll() is None:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL)
        return True

    def _signal(self, sign: signal.Signals) -> None:
        self._require_running().send_signal(sign)

    def _require_running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise KafkaBrokerError(f"the Kafka in {self.directory} is not started", remedy="Call start() first.")
        return self._process

    def _failed(self, what: str) -> KafkaBrokerError:
        words = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        telling = [line for line in words if not line.startswith("\tat ")][-_LAST_LINES:] or ["it wrote no message"]
        return KafkaBrokerError(
            f"the Kafka in {self.directory} {what}:\n  " + "\n  ".join(telling),
            remedy=f"Read {self.log_file}; the configuration is in {self._properties_file}.",
        )


async def _is_broker(bootstrap: str) -> bool:
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
    noise = logging.getLogger("aiokafka")
    level = noise.level
    noise.setLevel(logging.CRITICAL)
    try:
        await admin.start()
        # It is made when first asked for, which takes a moment in which clients would be turned away.
        await admin.find_coordinator("ready")
        return bool((await admin.describe_cluster())["brokers"])
    except KafkaError:
        return False
    finally:
        await admin.close()
        noise.setLevel(level)


def _free_ports() -> Iterator[int]:
    """Ports of 127.0.0.1 where nobody listens, each once."""
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            yield port


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
