"""Servers as people have them: PostgreSQL 18 and 15, with TLS, read-only, a standby, behind a pooler."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.statements import run
from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.mirror.host import find_binaries

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
RequirePart = Callable[[str, bool, str], None]
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Tls:
    """The authority that signed the PostgreSQL 15's certificate (for `localhost`), and one that did not."""

    authority: Path
    stranger: Path


@contextlib.contextmanager
def short_directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="wm-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def certificates() -> Iterator[tuple[Tls, trustme.LeafCert]]:
    with short_directory() as directory:
        tls = Tls(directory / "authority.pem", directory / "stranger.pem")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tls.authority)
        trustme.CA().cert_pem.write_to_path(tls.stranger)
        yield tls, authority.issue_cert("localhost")


@pytest.fixture(scope="session")
def tls(certificates: tuple[Tls, trustme.LeafCert]) -> Tls:
    return certificates[0]


@pytest.fixture(scope="session")
def postgres15(require_part: RequirePart, certificates: tuple[Tls, trustme.LeafCert]) -> Iterator[EmbeddedPostgres]:
    """Debian's PostgreSQL 15, the oldest supported, with TLS."""
    require_part("postgres15", (DEBIAN_15 / "postgres").exists(), "apt-get install postgresql-15")
    with short_directory() as directory:
        # Beside the cluster, so that they come to belong to the server's user.
        certificate, key = directory / "server.pem", directory / "server.key"
        certificates[1].cert_chain_pems[0].write_to_path(certificate)
        key.touch(mode=0o600)
        certificates[1].private_key_pem.write_to_path(key)
        settings = {"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key)}
        with EmbeddedPostgres(directory, fsync=False, tcp=True, bin_dir=DEBIAN_15, settings=settings) as server:
            yield server


@pytest.fixture(params=["18", "15"])
def any_server(request: pytest.FixtureRequest) -> EmbeddedPostgres:
    """Each of the oldest and the newest supported PostgreSQL."""
    server = request.getfixturevalue("postgres_server" if request.param == "18" else "postgres15")
    assert isinstance(server, EmbeddedPostgres)
    return server


@pytest.fixture
async def empty_url(any_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The URL of an empty database, on each of the two servers."""
    name = f"empty_{next(_numbers)}"
    await run(any_server.dsn(), f"CREATE DATABASE {name} TEMPLATE template0")
    yield any_server.dsn(name)
    await run(any_server.dsn(), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def standby_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A hot standby of the run's PostgreSQL 18."""
    with short_directory() as directory:
        command = [
            str(find_binaries() / "pg_basebackup"),
            "-d",
            postgres_server.dsn(),
            "-D",
            str(directory / "cluster"),
        ]
        subprocess.run([*command, "-R", "-c", "fast", "--no-sync"], check=True, capture_output=True)
        settings = {"max_connections": "200"}
        with EmbeddedPostgres(directory, fsync=False, tcp=True, settings=settings) as standby:
            # Its password file is its own, but its passwords are the primary's.
            yield standby.dsn()


@pytest.fixture
def make_pooler(require_part: RequirePart) -> Iterator[Callable[..., str]]:
    """`make_pooler(server, database)` puts PgBouncer in front of it, in transaction mode unless told, and returns the
    database's URL. User postgres, password `through the pool`."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    require_part("pgbouncer", program is not None, "apt-get install pgbouncer")
    assert program is not None
    with contextlib.ExitStack() as stack:

        def make(server: EmbeddedPostgres, database: str, mode: str = "transaction") -> str:
            directory = stack.enter_context(short_directory())
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            (directory / "users").write_text('"postgres" "through the pool"\n')
            (directory / "ini").write_text(
                f"[databases]\n* = host={server.socket_dir} port={server.port}\n[pgbouncer]\n"
                f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\npool_mode = {mode}\n"
                f"auth_type = scram-sha-256\nauth_file = {directory}/users\ndefault_pool_size = 3\n"
            )
            user = ["-u", "nobody"] if os.geteuid() == 0 else []
            pooler = subprocess.Popen([program, *user, str(directory / "ini")], stderr=subprocess.PIPE, text=True)
            stack.callback(pooler.wait)
            stack.callback(pooler.kill)
            assert pooler.stderr is not None
            stack.enter_context(pooler.stderr)
            said = []
            for line in pooler.stderr:
                said.append(line)
                if "process up" in line:
                    break
            else:
                pytest.fail(f"pgbouncer did not start: {''.join(said)}")
            return f"postgresql://postgres:through%20the%20pool@127.0.0.1:{port}/{database}"

        yield make


@pytest.fixture
def unique_name() -> Callable[[str], str]:
    """Roles belong to the whole server: `unique_name("reader")` has not been used before."""
    return lambda stem: f"{stem}_{next(_numbers)}"


@pytest.fixture
def as_role() -> Callable[[str, str], contextlib.AbstractAsyncContextManager[Session]]:
    """`async with as_role(url, role) as session`: connected as the superuser, reduced to that role."""

    @contextlib.asynccontextmanager
    async def open_as(url: str, role: str) -> AsyncIterator[Session]:
        async with await connect(url) as session:
            await session.execute(f'SET SESSION AUTHORIZATION "{role}"')
            yield session

    return open_as


@pytest.fixture
def run_sql() -> Callable[..., Awaitable[None]]:
    """`await run_sql(url, statement, …)`, each by itself."""
    return run
