"""A private Postgres for `demo`, `play` and tests: found, created, started, stopped; never for production.

One directory holds everything: the cluster, its socket, its log and the password of its TCP port. The server trusts
whoever may enter its socket directory (mode 0700) and asks for a password on TCP. It dies with the thread that
started it (Linux), unless told to keep running.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote, urlencode

from wikimirror.errors import EmbeddedPostgresError
from wikimirror.mirror.host import BIN_VARIABLE, Identity, choose_identity, find_binaries, launch, own

SUPERUSER: Final = "postgres"
SOCKET_PATH_LIMIT: Final = 107
"""Bytes that a Unix socket's path may have on Linux; other systems have slightly fewer (103)."""

_PORT = 5432
_POLL = 0.02


@dataclass(frozen=True, slots=True)
class _Running:
    """What postmaster.pid says of a running server."""

    pid: int
    port: int
    socket_dir: str
    listens: str
    ready: bool


class EmbeddedPostgres:
    """The cluster in `data_dir`: created when absent, started unless another process already runs it.

    `start` must be called in a thread that outlives the server (the main thread does): the kernel stops the server when
    the thread that started it ends. With `keep_running` the server outlives the program.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        fsync: bool = True,
        tcp: bool = False,
        keep_running: bool = False,
        bin_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.cluster = self.data_dir / "cluster"
        self.log_file = self.data_dir / "postgres.log"
        self._password_file = self.data_dir / "password"
        self._fsync = fsync
        self._tcp = tcp
        self._keep_running = keep_running
        self._bin_dir = bin_dir
        self._settings = dict(settings or {})
        self._timeout = timeout
        self._running: _Running | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def attached(self) -> bool:
        """True while connected to a server that another process started."""
        return self._running is not None and self._process is None

    @property
    def port(self) -> int:
        """The port of the TCP address, and the number in the socket's name."""
        return self._require_running().port

    @property
    def socket_dir(self) -> Path:
        """The directory of the Unix socket, as `psql -h` takes it."""
        return Path(self._require_running().socket_dir)

    def dsn(self, database: str = "postgres", *, user: str = SUPERUSER, tcp: bool = False) -> str:
        """A URL for `database`, for this program and for psql. With `tcp` it holds the superuser's password."""
        running = self._require_running()
        if not tcp:
            where = urlencode({"host": running.socket_dir, "port": running.port}, quote_via=quote, safe="/")
            return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?{where}"
        if not running.listens:
            raise EmbeddedPostgresError(
                f"the Postgres in {self.data_dir} runs without a TCP port",
                remedy="Use its Unix socket, or stop the program that started it and start again with a TCP port.",
            )
        password = self._password_file.read_text(encoding="ascii").strip()
        return f"postgresql://{quote(user, safe='')}:{password}@127.0.0.1:{running.port}/{quote(database, safe='')}"

    def start(self) -> Self:
        """Create the cluster when absent and start it, or attach to the one that runs, until it takes connections."""
        self._begin_start()
        deadline = time.monotonic() + self._timeout
        while not self._check_started(deadline):
            time.sleep(_POLL)
        return self

    async def start_async(self) -> Self:
        """`start`, not blocking the event loop while the server comes up (creating a cluster does: half a second)."""
        self._begin_start()
        deadline = time.monotonic() + self._timeout
        while not self._check_started(deadline):  # noqa: ASYNC110  # the server tells in a file, not by an event
            await asyncio.sleep(_POLL)
        return self

    def stop(self, *, attached: bool = False) -> None:
        """Stop the server if this object started it, with `attached` whoever did; open transactions roll back."""
        running, process = self._running, self._process
        self._running = self._process = None
        if running is None or (process is None and not attached):
            return
        gone: Callable[[], bool] = (
            (lambda: process.poll() is not None)
            if process is not None
            else (lambda: _read_pid_file(self.cluster) is None)
        )
        for sign in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(running.pid, sign)
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                if gone():
                    return
                time.sleep(_POLL)

    async def stop_async(self) -> None:
        """`stop`, in a thread."""
        await asyncio.to_thread(self.stop)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if not self._keep_running:
            self.stop()

    async def __aenter__(self) -> Self:
        return await self.start_async()

    async def __aexit__(self, *_: object) -> None:
        if not self._keep_running:
            await self.stop_async()

    def _require_running(self) -> _Running:
        if self._running is None:
            raise EmbeddedPostgresError(f"the Postgres in {self.data_dir} is not started", remedy="Call start() first.")
        return self._running

    def _begin_start(self) -> None:
        if self._running is not None:
            return
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                if not self._clear_stale_pid_file():
                    self._create_and_spawn()
        except OSError as error:
            raise EmbeddedPostgresError(
                f"the directory {self.data_dir} cannot be used for Postgres: {error.strerror or error}",
                remedy="Choose another data directory, or free space and rights on this one.",
            ) from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time creates or starts the cluster; the kernel frees the lock when its holder dies."""
        with (self.data_dir / "lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _clear_stale_pid_file(self) -> bool:
        """True if a server really runs on the cluster. A leftover postmaster.pid, even one whose number was given to
        another process since (usual in containers), is removed, as the server itself would not do.
        """
        running = _read_pid_file(self.cluster)
        if running is None:
            return False
        if _is_server_of(running.pid, self.cluster):
            return True
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)
        return False

    def _create_and_spawn(self) -> None:
        found = find_binaries(self._bin_dir)
        bin_dir, identity = choose_identity(found, self.data_dir)
        owned = self.cluster / "PG_VERSION"
        if owned.exists():
            self._check_major(bin_dir, owned.read_text(encoding="ascii").strip())
        else:
            self._initdb(bin_dir, identity)
        socket_dir = self._make_socket_dir(identity)
        port = _free_port() if self._tcp else _PORT
        options = {
            "unix_socket_directories": str(socket_dir),
            "unix_socket_permissions": "0700",
            "listen_addresses": "127.0.0.1" if self._tcp else "",
            "port": str(port),
            "fsync": "on" if self._fsync else "off",
            "synchronous_commit": "on" if self._fsync else "off",
            "full_page_writes": "on" if self._fsync else "off",
            # Promise P3: what a statement holds (texts, names) must not reach the server's log.
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
            **self._settings,
        }
        command = [str(bin_dir / "postgres"), "-D", str(self.cluster)]
        for key, value in options.items():
            command += ["-c", f"{key}={value}"]
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                launch(identity, command, parent=0 if self._keep_running else os.getpid()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                # Ctrl-C is for the program, which drains first and then stops its server.
                start_new_session=True,
            )

    def _check_started(self, deadline: float) -> bool:
        running = _read_pid_file(self.cluster)
        mine = self._process
        if running is not None and running.ready and (mine is None or running.pid == mine.pid):
            self._running = running
            return True
        if mine is not None and mine.poll() is not None:
            self._process = None
            raise EmbeddedPostgresError(
                f"the Postgres in {self.data_dir} stopped while starting: {self._last_words()}",
                remedy=f"Read {self.log_file}; if the cluster is damaged, remove {self.data_dir} and start again.",
            )
        if mine is None and running is None:
            # The server that was running has stopped meanwhile: start one of our own.
            self._begin_start()
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"the Postgres in {self.data_dir} did not take connections within {self._timeout:.0f} s",
                remedy=f"Read {self.log_file}; a slow disk or a long recovery needs more time.",
            )
        return False

    def _check_major(self, bin_dir: Path, cluster_major: str) -> None:
        told = subprocess.run(
            [str(bin_dir / "postgres"), "--version"], capture_output=True, text=True, check=False
        ).stdout
        major = told.rpartition(") ")[2].split(".")[0].strip()
        if major and major != cluster_major:
            raise EmbeddedPostgresError(
                f"the cluster in {self.data_dir} was made by PostgreSQL {cluster_major}; {bin_dir} holds {major}",
                remedy=f"Point ${BIN_VARIABLE} at PostgreSQL {cluster_major}, or remove {self.data_dir} to start anew.",
            )

    def _initdb(self, bin_dir: Path, identity: Identity) -> None:
        # What a crash left of an unfinished initdb has no PG_VERSION and is of no use.
        shutil.rmtree(self.cluster, ignore_errors=True)
        self.cluster.mkdir(mode=0o700)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_hex(16), encoding="ascii")
        for path in (self.cluster, self._password_file):
            own(path, identity)
        command = [
            *(str(bin_dir / "initdb"), "-D", str(self.cluster), "-U", SUPERUSER, "-E", "UTF8", "--locale=C"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={self._password_file}"),
            *([] if self._fsync else ["--no-sync"]),
        ]
        done = subprocess.run(
            launch(identity, command, parent=0),
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
            words = next(
                (line for line in lines if "error" in line or "FATAL" in line), lines[-1] if lines else "no message"
            )
            shutil.rmtree(self.cluster, ignore_errors=True)
            raise EmbeddedPostgresError(
                f"initdb could not create a cluster in {self.data_dir}: {words}",
                remedy="Choose another data directory, or free space and rights on this one.",
            )

    def _make_socket_dir(self, identity: Identity) -> Path:
        path = self.data_dir / "run"
        if len(os.fsencode(path)) + len("/.s.PGSQL.65535") > min(SOCKET_PATH_LIMIT, 103):
            digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
            path = Path(tempfile.gettempdir()) / f"wikimirror-{os.getuid()}-{digest}"
        path.mkdir(mode=0o700, exist_ok=True)
        if path.is_symlink() or path.stat().st_uid not in (os.getuid(), identity.user):
            raise EmbeddedPostgresError(
                f"{path} belongs to someone else",
                remedy="Choose a shorter data directory, so that its socket fits inside.",
            )
        path.chmod(0o700)
        own(path, identity)
        return path

    def _last_words(self) -> str:
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        telling = [line for line in lines if "FATAL" in line or "PANIC" in line] or lines
        return telling[-1].strip() if telling else "it wrote no message"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _read_pid_file(cluster: Path) -> _Running | None:
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8", errors="replace").split("\n")
        pid = abs(int(lines[0]))
    except (FileNotFoundError, ValueError, NotADirectoryError):
        return None
    lines += [""] * (8 - len(lines))
    port = int(lines[3]) if lines[3].strip().isdigit() else 0
    return _Running(pid, port, lines[4].strip(), lines[5].strip(), lines[7].strip() == "ready")


def _is_server_of(pid: int, cluster: Path) -> bool:
    """Whether `pid` is alive and a server on `cluster`, whose working directory a server makes its own."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    working_directory = Path(f"/proc/{pid}/cwd")
    try:
        return working_directory.readlink() == cluster.resolve()
    except FileNotFoundError:
        return not Path("/proc/self").exists()
    except OSError:
        # Another user's process: its directory is not told, so it may be the server.
        return True
