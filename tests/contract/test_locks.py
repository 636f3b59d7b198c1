from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from tools import locks

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project file and its locks, to be spoilt."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    monkeypatch.setattr(locks, "ROOT", tmp_path)
    return tmp_path


def spoil(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_locks_are_in_order(copy: Path) -> None:
    assert copy.is_dir()
    assert [fault for name in locks.LOCKS for fault in locks.faults_of(name)] == []


def test_a_changed_dependency_is_noticed(copy: Path) -> None:
    spoil(copy / "pyproject.toml", '"structlog>=26.1"', '"structlog>=27"')
    faults = locks.faults_of("run")
    assert any("another pyproject.toml" in fault for fault in faults)
    assert any("structlog>=27 is asked for" in fault for fault in faults)


def test_a_missing_hash_a_loose_version_and_a_host_are_noticed(copy: Path) -> None:
    run = copy / "requirements" / "run.lock"
    spoil(run, "--hash=sha256:", "--hash=md5:")
    spoil(run, "asyncpg==", "asyncpg>=")
    run.write_text("--index-url https://example.org/simple\n" + run.read_text())
    faults = " ".join(locks.faults_of("run"))
    assert "has no hash" in faults or "pins no version" in faults
    assert "names a host" in faults
    assert "asyncpg" in faults


def test_running_and_developing_use_the_same_versions() -> None:
    def pins(name: str) -> set[str]:
        return {
            line.split(" ")[0]
            for line in (ROOT / "requirements" / f"{name}.lock").read_text().splitlines()
            if "==" in line
        }

    assert pins("run") <= pins("dev")


def test_the_build_backend_is_locked_as_the_build_asks_for_it() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert document["build-system"]["requires"] == document["dependency-groups"]["build"]
