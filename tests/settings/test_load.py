from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from wikimirror.errors import ConfigurationError
from wikimirror.settings import NAME, Address, InvalidSettings, Settings, keys, load, source_keys, variable

FILE = """
[postgres]
url = "postgresql://file/db"
[law]
skew_seconds = 10
[apply]
batch_records = 10
batch_age_ms = 10
[log]
level = "debug"
"""


def faults_of(path: Path | None = None, **flags: object) -> dict[str, tuple[str, str, str]]:
    with pytest.raises(InvalidSettings) as raised:
        load(path, {key.replace("__", "."): value for key, value in flags.items()})
    assert raised.value.exit_code == 2
    return {fault.key: (fault.value, fault.rule, fault.source) for fault in raised.value.faults}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "wikimirror.toml"
    path.write_text(FILE)
    return path


def test_nothing_said_is_the_defaults() -> None:
    settings = load()
    assert settings == Settings()
    assert settings.law.skew_seconds == 300
    assert settings.history.bodies == "current"
    assert settings.postgres.schema_name == "wikimirror"
    assert settings.ledger.keep == timedelta(days=90)


def test_flags_go_before_the_environment_and_that_before_secrets_and_they_before_the_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, value in {"postgres__url": "postgresql://secret/db\n", "law__skew_seconds": "20"}.items():
        (secrets / name).write_text(value)
    monkeypatch.setenv("WIKIMIRROR_SECRETS_DIR", str(secrets))
    monkeypatch.setenv("WIKIMIRROR_LAW__SKEW_SECONDS", "30")
    monkeypatch.setenv("WIKIMIRROR_APPLY__BATCH_RECORDS", "30")

    settings = load(file, {"apply.batch_records": 40, "postgres.schema": None})

    assert settings.log.level == "debug", "only the file says it"
    assert settings.apply.batch_age_ms == 10
    assert settings.postgres.url is not None
    assert settings.postgres.url.get_secret_value() == "postgresql://secret/db", "the secrets directory over the file"
    assert settings.law.skew_seconds == 30, "the environment over the secrets directory"
    assert settings.apply.batch_records == 40, "a flag over the environment"


def test_the_file_may_be_named_by_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIKIMIRROR_CONFIG", str(file))
    assert load().law.skew_seconds == 10


def test_an_empty_variable_counts_as_not_set(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIKIMIRROR_LAW__SKEW_SECONDS", "")
    monkeypatch.setenv("WIKIMIRROR_CONFIG", "")
    assert load(file).law.skew_seconds == 10


@pytest.mark.parametrize(
    ("said", "meant"),
    [("enwiki", ("enwiki",)), ("enwiki, dewiki", ("enwiki", "dewiki")), ('["enwiki"]', ("enwiki",)), ("all", ())],
)
def test_a_list_in_the_environment_is_values_between_commas_or_json(
    said: str, meant: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIKIMIRROR_SCOPE__WIKIS", said)
    assert load().scope.wikis == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [("90d", timedelta(days=90)), ("36h", timedelta(hours=36)), ("1440m", timedelta(days=1)), ("forever", None)],
)
def test_the_ledger_is_kept_for_a_duration_or_forever(said: str, meant: timedelta | None) -> None:
    assert load(None, {"ledger.keep": said}).ledger.keep == meant


def test_what_is_told_can_be_said_again() -> None:
    said = {
        "sources.public.type": "eventstreams",
        "sources.public.start": "2026-09-01T14:00:00+02:00",
        "sources.public.overlap": "0s",
        "sources.company.type": "kafka",
        "sources.company.bootstrap_servers": "a:1,[::1]:2",
        "sources.company.topics": "pages,hidden",
        "sources.company.dialects": "hidden=visibility_change",
        "admin.listen": "[::1]:0",
        "lease.duration": "1.001s",
        "ledger.keep": "forever",
    }
    settings = load(None, said)
    told = settings.told()
    named = {key.replace(NAME, "public") for key in source_keys("eventstreams")}
    named |= {key.replace(NAME, "company") for key in source_keys("kafka")}
    assert set(told) == {key for key in keys() if NAME not in key} | named
    assert told["sources.public.start"] == "2026-09-01T12:00:00Z"
    assert told["sources.company.bootstrap_servers"] == ["a:1", "[::1]:2"]
    assert told["sources.company.dialects"] == {"hidden": "visibility_change"}
    assert told["lease.duration"] == "1001ms"
    assert load(None, {key: value for key, value in told.items() if value is not None}) == settings


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("127.0.0.1:9470", Address("127.0.0.1", 9470)),
        ("[::1]:9470", Address("::1", 9470)),
        ("localhost:0", Address("localhost", 0)),
        ("off", None),
    ],
)
def test_the_admin_port_is_at_an_address_or_off(said: str, meant: Address | None) -> None:
    settings = load(None, {"admin.listen": said})
    assert settings.admin.listen == meant
    assert settings.told()["admin.listen"] == said


@pytest.mark.parametrize(
    "said", ["9470", ":9470", "::1:9470", "host:", "host:70000", "host:-1", "a b:1", "http://h:1", 9]
)
def test_an_address_that_cannot_be_listened_at_is_a_fault(said: object) -> None:
    assert "must be host:port" in faults_of(admin__listen=said)["admin.listen"][1]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("memory.bytes", "1023KiB"),
        ("memory.bytes", "65GiB"),
        ("lease.duration", "499ms"),
        ("lease.duration", "61s"),
        ("retry.longest", "0s"),
        ("run.drain_timeout", "0s"),
        ("run.drain_timeout", "2h"),
        ("health.stalled_after", "0s"),
        ("health.silent_after", "2d"),
        ("health.behind_after", "8d"),
    ],
)
def test_a_quantity_out_of_bounds_is_a_fault(key: str, said: str) -> None:
    assert faults_of(None, **{key: said})[key][0] == f'"{said}"'


def test_a_secret_is_in_no_representation() -> None:
    settings = load(None, {"postgres.url": "postgresql://me:hunter2@here/db"})
    assert "hunter2" not in f"{settings!r} {settings} {settings.told()} {settings.postgres!r}"


def test_all_faults_of_all_sources_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('[apply]\nbatch_records = -1\n[scope]\nwikis = ["enwiki", "En Wiki"]\n[nonsense]\nkey = 1\n')
    monkeypatch.setenv("WIKIMIRROR_LOG__FORMAT", "prose")
    monkeypatch.setenv("WIKIMIRROR_SCOPE__NAMESPACES", "0,one")
    monkeypatch.setenv("WIKIMIRROR_LEGER__KEEP", "1d")
    monkeypatch.setenv("WIKIMIRROR_POSTGRES_URL", "postgresql://here/db")
    faults = faults_of(path, law__skew_seconds=-1)
    assert set(faults) == {
        "WIKIMIRROR_LEGER__KEEP",
        "WIKIMIRROR_POSTGRES_URL",
        "apply.batch_records",
        "law.skew_seconds",
        "log.format",
        "nonsense",
        "scope.namespaces.1",
        "scope.wikis.1",
    }
    assert faults["scope.wikis.1"] == (
        '"En Wiki"',
        "must be a wiki's database name, such as enwiki",
        f"file {path}",
    )
    assert faults["WIKIMIRROR_POSTGRES_URL"][1] == "is not a setting; WIKIMIRROR_POSTGRES__URL is"
    assert faults["law.skew_seconds"] == ("-1", "must be greater than or equal to 0", "flag")


def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes sets such ones for every service in the namespace."""
    for name in ("WIKIMIRROR_SERVICE_HOST", "WIKIMIRROR_POSTGRES_PORT_5432_TCP_ADDR", "WIKIMIRROR_SAMPLES"):
        monkeypatch.setenv(name, "10.0.0.1")
    assert load() == Settings()


@pytest.mark.parametrize("url", ["mysql://me:hunter2@here/db", "me:hunter2@here"])
def test_a_secret_that_is_wrong_is_masked(url: str) -> None:
    faults = faults_of(postgres__url=url)
    assert faults["postgres.url"] == ("********", "must be a URL that begins with postgresql://", "flag")


def test_the_value_of_an_unknown_key_is_masked_for_it_may_be_a_misspelt_secret() -> None:
    assert faults_of(postgres__urll="hunter2")["postgres.urll"][0] == "********"


@pytest.mark.parametrize("schema", ["", "pg_catalog", "pg_mine", "information_schema", "x" * 64, "é" * 32])
def test_a_schema_postgres_would_not_take_is_a_fault(schema: str) -> None:
    assert "postgres.schema" in faults_of(postgres__schema=schema)


@pytest.mark.parametrize("schema", ["wikimirror", "Wiki Mirror", "spiegel-ä", 'quo"ted', "x" * 63])
def test_any_other_schema_name_is_taken(schema: str) -> None:
    assert load(None, {"postgres.schema": schema}).postgres.schema_name == schema


@pytest.mark.parametrize("said", ["5", "5 weeks", "", "-3s", "s"])
def test_a_duration_without_a_unit_is_a_fault(said: str) -> None:
    assert "a unit" in faults_of(postgres__lock_timeout=said)["postgres.lock_timeout"][1]


@pytest.mark.parametrize(
    ("content", "rule"), [(b"[law", "is not TOML"), (b"\xff\xfe", "is not UTF-8"), (None, "cannot be read")]
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, rule: str) -> None:
    path = tmp_path / "settings.toml"
    if content is not None:
        path.write_bytes(content)
    assert rule in faults_of(path)[str(path)][1]


def test_a_secrets_directory_that_is_not_there_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIKIMIRROR_SECRETS_DIR", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="WIKIMIRROR_SECRETS_DIR"):
        load()


def test_a_secrets_directory_as_kubernetes_mounts_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versioned = tmp_path / "..2026_10_01"
    versioned.mkdir()
    (versioned / "postgres__url").write_text("postgresql://k8s/db")
    (tmp_path / "..data").symlink_to(versioned.name)
    (tmp_path / "postgres__url").symlink_to("..data/postgres__url")
    monkeypatch.setenv("WIKIMIRROR_SECRETS_DIR", str(tmp_path))
    url = load().postgres.url
    assert url is not None
    assert url.get_secret_value() == "postgresql://k8s/db"


def test_a_password_file_must_be_there(tmp_path: Path) -> None:
    assert "postgres.password_file" in faults_of(postgres__password_file=str(tmp_path / "none"))


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(load().law, "skew_seconds", 1)  # noqa: B010 - the types know already


def test_each_key_has_one_environment_variable() -> None:
    assert variable("apply.batch_age_ms") == "WIKIMIRROR_APPLY__BATCH_AGE_MS"
    assert len({variable(key) for key in keys()}) == len(keys())
