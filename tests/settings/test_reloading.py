"""A running daemon follows its files: secrets are taken up, everything else is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wikimirror.settings import InvalidSettings, Reloader, Settings, keys, load

FIRST = "postgresql://me:first@here/db"
SECOND = "postgresql://me:second@here/db"


def settings_file(directory: Path, *, url: str | None = FIRST, more: str = "") -> Path:
    path = directory / "wikimirror.toml"
    path.write_text((f'[postgres]\nurl = "{url}"\n' if url else "") + more)
    return path


def url_of(settings: Settings) -> str | None:
    url = settings.postgres.url
    return None if url is None else url.get_secret_value()


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A secrets directory as Kubernetes mounts it: links to files in a directory that a link names."""
    directory = tmp_path / "secrets"
    directory.mkdir()
    publish(directory, "..2026_11_01", FIRST)
    (directory / "postgres__url").symlink_to("..data/postgres__url")
    monkeypatch.setenv("WIKIMIRROR_SECRETS_DIR", str(directory))
    return directory


def publish(directory: Path, version: str, url: str) -> None:
    """What the kubelet does: a new directory beside the former one, and the link renamed to it."""
    (directory / version).mkdir()
    (directory / version / "postgres__url").write_text(url)
    (directory / "..data_tmp").symlink_to(version)
    (directory / "..data_tmp").rename(directory / "..data")


def test_while_no_file_changes_the_settings_are_those_first_read(tmp_path: Path) -> None:
    path = settings_file(tmp_path)
    reloader = Reloader(path, {"law.skew_seconds": 7})
    first = reloader.current()
    assert first.settings == load(path, {"law.skew_seconds": 7})
    assert (first.needs_restart, first.fault) == ((), None)
    assert reloader.current().settings is first.settings


def test_a_secret_that_kubernetes_swaps_is_taken_up(mounted: Path) -> None:
    reloader = Reloader()
    assert url_of(reloader.current().settings) == FIRST

    publish(mounted, "..2026_11_02", SECOND)

    found = reloader.current()
    assert url_of(found.settings) == SECOND
    assert (found.needs_restart, found.fault) == ((), None)


def test_a_secret_of_the_same_length_and_age_is_taken_up(tmp_path: Path) -> None:
    path = settings_file(tmp_path)
    before = path.stat()
    reloader = Reloader(path)
    path.write_text(path.read_text().replace("first", "other"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert url_of(reloader.current().settings) == FIRST.replace("first", "other")


def test_every_secret_is_taken_up(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch()
    common = {"type": '"kafka"', "bootstrap_servers": '["a:1"]', "topics": '["t"]', "security_protocol": '"sasl_ssl"'}
    common |= {"certificate_file": f'"{key}"', "key_file": f'"{key}"', "key_password": '"first"'}
    by_password = common | {"sasl_mechanism": '"PLAIN"', "username": '"me"', "password": '"first"'}
    by_token = {"sasl_mechanism": '"OAUTHBEARER"', "token_url": '"http://here"', "token_client_id": '"me"'}
    by_token = common | by_token | {"token_client_secret": '"first"'}
    sources = "".join(
        f"[sources.{name}]\n" + "".join(f"{key} = {value}\n" for key, value in said.items())
        for name, said in (("by_password", by_password), ("by_token", by_token))
    )
    path = settings_file(tmp_path, more=sources + '[admin]\ntoken = "first"\n')
    reloader = Reloader(path)
    path.write_text(path.read_text().replace("first", "second"))

    found = reloader.current()

    assert found.needs_restart == ()
    secrets = {key: secret_of(found.settings, key) for key, secret in keys().items() if secret}
    assert {key for key, value in secrets.items() if value in {"second", SECOND}} == set(secrets)


def secret_of(settings: Settings, key: str) -> str | None:
    """A secret wherever it is said, whatever the source's name."""
    section, _, name = key.rpartition(".")
    places = list(settings.sources.values()) if section.startswith("sources") else [getattr(settings, section)]
    found = {each.get_secret_value() for place in places if (each := getattr(place, name, None)) is not None}
    return found.pop() if len(found) == 1 else None


def test_a_secret_that_appears_waits_for_a_restart(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("first\n")
    kafka = '[sources.k]\ntype = "kafka"\nbootstrap_servers = ["a:1"]\ntopics = ["t"]\n'
    kafka += 'security_protocol = "sasl_ssl"\nsasl_mechanism = "PLAIN"\nusername = "me"\n'
    path = settings_file(tmp_path, more=kafka + f'password_file = "{password}"\n')
    reloader = Reloader(path)
    settings_file(tmp_path, more=kafka + 'password = "second"\n')
    found = reloader.current()
    assert found.settings == reloader.current().settings
    assert set(found.needs_restart) == {"sources.k.password", "sources.k.password_file"}
    assert secret_of(found.settings, "sources.NAME.password") is None


def test_what_goes_before_a_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIKIMIRROR_POSTGRES__URL", "postgresql://environment/db")
    path = settings_file(tmp_path)
    reloader = Reloader(path)
    settings_file(tmp_path, url=SECOND)
    assert url_of(reloader.current().settings) == "postgresql://environment/db"


def test_what_else_changes_needs_a_restart_and_is_told_once(tmp_path: Path) -> None:
    path = settings_file(tmp_path, more='[log]\nlevel = "info"\n')
    reloader = Reloader(path)
    settings_file(tmp_path, url=SECOND, more='[log]\nlevel = "debug"\n[sources.more]\ntype = "eventstreams"\n')

    found = reloader.current()

    assert url_of(found.settings) == SECOND, "the secret is taken up all the same"
    assert found.settings.log.level == "info"
    assert found.settings.sources == {}
    assert "log.level" in found.needs_restart
    assert "sources.more.type" in found.needs_restart
    assert not {"postgres.url", "law.skew_seconds"} & set(found.needs_restart)
    assert reloader.current().needs_restart == ()

    settings_file(tmp_path, url=FIRST, more='[log]\nlevel = "debug"\n[sources.more]\ntype = "eventstreams"\n')
    assert reloader.current().needs_restart == (), "nothing more has changed"

    settings_file(tmp_path, more='[log]\nlevel = "error"\n')
    assert reloader.current().needs_restart == ("log.level",), "it is otherwise again"


def test_a_change_taken_back_needs_no_restart(tmp_path: Path) -> None:
    path = settings_file(tmp_path)
    reloader = Reloader(path)
    for _ in range(2):
        settings_file(tmp_path, more="[law]\nskew_seconds = 7\n")
        assert reloader.current().needs_restart == ("law.skew_seconds",)
        settings_file(tmp_path)
        assert reloader.current().needs_restart == ()


@pytest.mark.parametrize(("before", "after"), [(FIRST, None), (None, FIRST)])
def test_a_database_that_appears_or_disappears_needs_a_restart(
    tmp_path: Path, before: str | None, after: str | None
) -> None:
    path = settings_file(tmp_path, url=before)
    reloader = Reloader(path)
    settings_file(tmp_path, url=after)
    found = reloader.current()
    assert url_of(found.settings) == before
    assert found.needs_restart == ("postgres.url",)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ("[postgres", "is not TOML"),
        ('[postgres]\nurl = "mysql://me:hunter2@here/db"\n', "must be a URL that begins with postgresql://"),
        (None, "cannot be read"),
    ],
)
def test_a_faulty_file_changes_nothing_and_is_told_once(tmp_path: Path, content: str | None, rule: str) -> None:
    path = settings_file(tmp_path)
    reloader = Reloader(path)
    if content is None:
        path.unlink()
    else:
        path.write_text(content)

    found = reloader.current()

    assert url_of(found.settings) == FIRST
    assert found.fault is not None
    assert rule in str(found.fault)
    assert "hunter2" not in str(found.fault)
    assert reloader.current().fault is None

    settings_file(tmp_path, url=SECOND)
    mended = reloader.current()
    assert url_of(mended.settings) == SECOND
    assert mended.fault is None

    path.write_text("[postgres")
    assert reloader.current().fault is not None, "a fault that comes back is told again"


def test_a_secrets_directory_that_disappears_for_a_while_changes_nothing(mounted: Path) -> None:
    reloader = Reloader()
    away = mounted.with_name("away")
    mounted.rename(away)
    found = reloader.current()
    assert url_of(found.settings) == FIRST
    assert found.fault is not None
    away.rename(mounted)
    assert reloader.current().fault is None


def test_settings_that_cannot_be_used_are_not_begun_with(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings):
        Reloader(settings_file(tmp_path, url="nonsense"))
