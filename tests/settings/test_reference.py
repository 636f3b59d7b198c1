from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from wikimirror.settings import (
    NAME,
    SOURCE_TYPES,
    InvalidSettings,
    KafkaSettings,
    Settings,
    keys,
    load,
    require_runnable,
    source_keys,
    variable,
)

CONFIG = Path(__file__).resolve().parents[2] / "config"
REFERENCE = CONFIG / "wikimirror.toml"
EXAMPLES = ("eventstreams", "kafka")
"""The types of sources. Each is the name of its example in the reference, too, and of a complete file."""
PUBLIC = "eventstreams"
LEAST: dict[str, dict[str, object]] = {
    "eventstreams": {"type": "eventstreams"},
    "kafka": {"type": "kafka", "bootstrap_servers": ["localhost:9092"], "topics": ["pages"]},
}
"""The least that a source of each type must say."""
OTHERWISE = {"eventstreams": set[str](), "kafka": {"security_protocol"}}
"""Keys of an example that show something else than their default."""
ALL = [
    each
    for key in dict.fromkeys("sources" if NAME in key else key for key in keys())
    for each in (
        [own.replace(NAME, kind) for kind in EXAMPLES for own in source_keys(kind)] if key == "sources" else [key]
    )
]
"""Every key in its place, a source's under the name of its example."""
WITHOUT_EXTREMES = {
    "admin.listen",
    "admin.runbooks",
    "admin.token",
    "admin.token_file",
    "http.contact",
    "log.format",
    "postgres.password_file",
    "postgres.schema",
    "postgres.url",
    "sources.eventstreams.on_gap",
    "sources.eventstreams.type",
    "sources.eventstreams.url",
    "sources.kafka.ca_file",
    "sources.kafka.certificate_file",
    "sources.kafka.dialects",
    "sources.kafka.group",
    "sources.kafka.isolation",
    "sources.kafka.key_file",
    "sources.kafka.key_password",
    "sources.kafka.member_id",
    "sources.kafka.on_gap",
    "sources.kafka.password",
    "sources.kafka.password_file",
    "sources.kafka.sasl_mechanism",
    "sources.kafka.security_protocol",
    "sources.kafka.token_client_id",
    "sources.kafka.token_client_secret",
    "sources.kafka.token_client_secret_file",
    "sources.kafka.token_file",
    "sources.kafka.token_scope",
    "sources.kafka.token_url",
    "sources.kafka.type",
    "sources.kafka.username",
}
"""What is a name or a choice between words has no too low and no too high."""


def documented() -> dict[str, str]:
    """The comment above each key of the reference file, commented-out keys included."""
    section, comment, found = "", "", {}
    for line in REFERENCE.read_text().splitlines():
        if heading := re.fullmatch(r"(?:# )?\[([\w.]+)\]", line):
            section, comment = heading[1], ""
        elif key := re.fullmatch(r"(?:# )?([a-z_]+) = .+", line):
            assert f"{section}.{key[1]}" not in found
            found[f"{section}.{key[1]}"] = comment
            comment = ""
        elif line.startswith("# "):
            comment += line[1:]
        else:
            comment = ""
    return found


def example(kind: str) -> dict[str, object]:
    """What the reference's example of a source says, once it is no longer commented out."""
    block = REFERENCE.read_text().partition(f"# [sources.{kind}]\n")[2].partition("[sources.")[0].partition("\n[")[0]
    said = tomllib.loads("\n".join(re.findall(r"^# ([a-z_]+ = .+)$", block, flags=re.MULTILINE)))
    assert said
    return said


def least(kind: str) -> dict[str, object]:
    return {f"sources.{kind}.{key}": value for key, value in LEAST[kind].items()}


def least_for(key: str) -> dict[str, object]:
    """The least that makes settings in which this key is."""
    section, kind, *_ = key.split(".")
    return least(kind) if section == "sources" else {}


def test_the_reference_file_holds_the_defaults() -> None:
    assert load(REFERENCE) == Settings()


def test_every_type_of_source_has_an_example() -> None:
    assert set(EXAMPLES) == set(SOURCE_TYPES)


def test_the_reference_file_names_every_key_and_no_other() -> None:
    assert list(documented()) == ALL


def test_every_key_with_a_default_is_there_to_be_changed() -> None:
    live = tomllib.loads(REFERENCE.read_text())
    without_default = {key for key, value in Settings().told().items() if value is None}
    there = {f"{section}.{key}" for section, table in live.items() for key in table}
    assert there == {key for key in ALL if not key.startswith("sources.")} - without_default


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_example_of_a_source_says_every_key_with_a_default_as_that_is(kind: str) -> None:
    said = example(kind)
    assert [f"sources.{NAME}.{key}" for key in said] == list(source_keys(kind))
    settings = load(None, least(kind))
    defaults = {key for key in said if settings.told()[f"sources.{kind}.{key}"] is not None} - set(LEAST[kind])
    flags = least(kind) | {f"sources.{kind}.{key}": said[key] for key in defaults if key not in OTHERWISE[kind]}
    assert load(None, flags) == settings


@pytest.mark.parametrize("key", ALL)
def test_every_key_says_its_default(key: str) -> None:
    said = re.search(r'Default: (none|forever|"[^"]*"|\[[^\]]*\]|\d+(?:\.\d+)?)[,.;]', documented()[key])
    assert said is not None
    flags = least_for(key)
    if said[1] == "none":
        assert key in flags or load(None, flags).told()[key] is None
    else:
        assert load(None, {**flags, key: tomllib.loads(f"it = {said[1]}")["it"]}) == load(None, flags)


@pytest.mark.parametrize("key", [key for key in ALL if key not in WITHOUT_EXTREMES])
def test_every_choice_says_what_its_extremes_do(key: str) -> None:
    comment = documented()[key].lower()
    pairs = (("too low", "too high"), ("too few", "too many"), ("too late", "too early"), ("less", "more"))
    assert any(low in comment and high in comment for low, high in pairs)


@pytest.mark.parametrize(
    "key", [key for key in ALL if re.search(r"timeout|_after|duration|longest|bytes|interval", key)]
)
def test_every_quantity_says_its_unit(key: str) -> None:
    assert "with a unit" in documented()[key]


def test_the_file_for_the_public_service_wants_a_contact_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    path = CONFIG / f"{PUBLIC}.toml"
    with pytest.raises(InvalidSettings) as raised:
        require_runnable(load(path))
    assert [fault.key for fault in raised.value.faults] == ["http.contact"]
    assert variable("http.contact") in path.read_text()

    monkeypatch.setenv(variable("http.contact"), "me@example.org")
    settings = load(path)
    require_runnable(settings)
    assert settings.sources == load(None, {f"sources.{PUBLIC}.type": "eventstreams"}).sources
    assert settings.scope == Settings().scope
    assert settings.postgres == Settings().postgres


def test_the_contact_in_the_file_for_the_public_service_is_set_by_taking_its_comment_away(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((CONFIG / f"{PUBLIC}.toml").read_text().replace("# contact =", "contact ="))
    require_runnable(load(path))


def test_the_file_for_kafka_runs_as_it_is_and_needs_no_contact() -> None:
    settings = load(CONFIG / "kafka.toml")
    require_runnable(settings)
    (source,) = settings.sources.values()
    assert isinstance(source, KafkaSettings)
    assert source == KafkaSettings(
        type="kafka", bootstrap_servers=source.bootstrap_servers, topics=source.topics, start="earliest"
    )
    assert settings.scope == Settings().scope
    assert settings.postgres == Settings().postgres


def test_the_way_to_show_a_password_in_the_file_for_kafka_is_taken_by_taking_its_comments_away(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("hunter2\n")
    path = tmp_path / "mine.toml"
    text = (CONFIG / "kafka.toml").read_text().replace("/run/secrets/kafka-password", str(password))
    path.write_text(
        re.sub(r"^# (security_protocol|sasl_mechanism|username|password_file) =", r"\1 =", text, flags=re.MULTILINE)
    )
    (source,) = load(path).sources.values()
    assert isinstance(source, KafkaSettings)
    assert (source.sasl_mechanism, source.password_file) == ("SCRAM-SHA-512", password)
