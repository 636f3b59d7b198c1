"""A small disk for a test's database, which may be filled."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from wikimirror.mirror.embedded import EmbeddedPostgres


@contextmanager
def small_disk_of(require_part: Callable[[str, bool, str], None]) -> Iterator[Path]:
    """A file system of its own, of 64 MiB. `require_part`: the fixture."""
    directory = Path(tempfile.mkdtemp(prefix="wm-"))
    directory.chmod(0o755)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=0777", "wikimirror-test", str(directory)]
    mounted = (
        shutil.which("mount") is not None and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    )
    try:
        require_part("a file system of its own", mounted, "run as root, where mounting is allowed")
        yield directory
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(directory)], check=True)
        directory.rmdir()


@asynccontextmanager
async def lying_on(disk: Path, server: EmbeddedPostgres, database_url: str) -> AsyncIterator[None]:
    """Meanwhile a database that nobody is connected to lies on that disk; the server's log of writes does not."""
    place = disk / "tablespace"
    place.mkdir()
    owner = (server.cluster / "PG_VERSION").stat()
    os.chown(place, owner.st_uid, owner.st_gid)
    database = urlsplit(database_url).path.lstrip("/")
    connection = await asyncpg.connect(server.dsn())
    try:
        await connection.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
        await connection.execute(f"ALTER DATABASE {database} SET TABLESPACE small")
        yield
        await connection.execute(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'"
        )
        await connection.execute(f"ALTER DATABASE {database} SET TABLESPACE pg_default")
        await connection.execute("DROP TABLESPACE small")
    finally:
        await connection.close()


def fill(path: Path) -> None:
    """Leave no room where that file is."""
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))
