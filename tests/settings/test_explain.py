"""Which setting is in force, and who said it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wikimirror.settings import InvalidSettings, Told, explain, load

FILE = """
[postgres]
url = "postgresql://me:hunter2@file/db"
lock_timeout = "1s"
[scope]
wikis = ["enwiki"]
[sources.public]
type = "eventstreams"
url = "http://file"
[law]
skew_seconds = 10
[log]
level = "debug"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "wikimirror.toml"
    path.write_text(FILE)
    return path


def test_each_setting_tells_the_origin_that_counts(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "postgres__url").write_text("postgresql://me:hunter3@secret/db\n")
    (secrets / "log__level").write_text("error")
    monkeypatch.setenv("WIKIMIRROR_SECRETS_DIR", str(secrets))
    monkeypatch.setenv("WIKIMIRROR_LOG__LEVEL", "warning")
    monkeypatch.setenv("wikimirror_sources__public__url", "http://environment")
    monkeypatch.setenv("WIKIMIRROR_LAW__SKEW_SECONDS", "")

    told = explain(file, {"postgres.schema": "mine", "postgres.lock_timeout": None})

    assert told["postgres.schema"] == Told("mine", "flag")
    assert told["log.level"] == Told("warning", "environment WIKIMIRROR_LOG__LEVEL")
    assert told["sources.public.url"] == Told("http://environment", "environment WIKIMIRROR_SOURCES__PUBLIC__URL")
    assert told["postgres.url"] == Told("********", f"secrets directory file {secrets}/postgres__url")
    assert told["postgres.lock_timeout"] == Told("1s", f"file {file}")
    assert told["sources.public.type"] == Told("eventstreams", f"file {file}")
    assert told["scope.wikis"] == Told(["enwiki"], f"file {file}")
    assert told["law.skew_seconds"] == Told(10, f"file {file}"), "an empty variable says nothing"
    assert told["sources.public.overlap"] == Told("2m", "default")
    assert told["postgres.password_file"] == Told(None, "default")


def test_it_tells_what_is_loaded(file: Path) -> None:
    flags = {"apply.batch_records": 7}
    told = explain(file, flags)
    assert {key: each.value for key, each in told.items()} == load(file, flags).told()
    assert "hunter2" not in str(told)


def test_the_file_named_by_the_environment_is_told_by_its_path(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIKIMIRROR_CONFIG", str(file))
    assert explain()["law.skew_seconds"] == Told(10, f"file {file}")


def test_settings_that_cannot_be_used_are_not_explained(file: Path) -> None:
    with pytest.raises(InvalidSettings):
        explain(file, {"law.skew_seconds": -1})
