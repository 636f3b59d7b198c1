"""A source that reads topics of Kafka: what it may say, and what of it goes together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wikimirror.settings import Fault, InvalidSettings, KafkaSettings, explain, load, require_runnable, source_keys

K = "sources.k"
LEAST = {"type": "kafka", "bootstrap_servers": ["kafka:9092"], "topics": ["pages"]}
SASL = {"security_protocol": "sasl_ssl"}
SCRAM = {**SASL, "sasl_mechanism": "SCRAM-SHA-512", "username": "me"}
OAUTH = {**SASL, "sasl_mechanism": "OAUTHBEARER"}
TOKEN_URL = {**OAUTH, "token_url": "https://login/token", "token_client_id": "me", "token_client_secret": "hunter2"}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "file"
    path.write_text("hunter3\n")
    return str(path)


def flags(said: Mapping[str, object]) -> dict[str, object]:
    return {f"{K}.{key}": value for key, value in {**LEAST, **said}.items()}


def kafka(**said: object) -> KafkaSettings:
    source = load(None, flags(said)).sources["k"]
    assert isinstance(source, KafkaSettings)
    return source


def faults(**said: object) -> dict[str, str]:
    """The rule that each key breaks, without the source's name."""
    with pytest.raises(InvalidSettings) as raised:
        load(None, flags(said))
    assert "hunter" not in str(raised.value)
    return {fault.key.removeprefix(f"{K}."): fault.rule for fault in raised.value.faults}


def test_a_source_needs_brokers_and_topics_and_begins_with_all_there_is() -> None:
    source = kafka()
    assert source.bootstrap_servers == ("kafka:9092",)
    assert source.topics == ("pages",)
    assert (source.group, source.start, source.on_gap) == ("wikimirror", "earliest", "continue")
    assert (source.security_protocol, source.isolation) == ("plaintext", "read_committed")


def test_a_type_without_anything_else_says_all_that_is_missing() -> None:
    with pytest.raises(InvalidSettings) as raised:
        load(None, {f"{K}.type": "kafka"})
    assert {fault.key: fault.rule for fault in raised.value.faults} == {
        f"{K}.bootstrap_servers": "must be said",
        f"{K}.topic_pattern": "must be said, or topics: a source needs one of them",
    }


def test_a_source_may_be_there_by_environment_and_secrets_directory_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sources__k__password").write_text("hunter2\n")
    monkeypatch.setenv("WIKIMIRROR_SECRETS_DIR", str(tmp_path))
    said = {
        "TYPE": "kafka",
        "BOOTSTRAP_SERVERS": "one:9092, [2001:db8::1]:9093",
        "TOPICS": "pages,hidden",
        "DIALECTS": "pages=page_change, hidden=visibility_change",
        "SECURITY_PROTOCOL": "sasl_ssl",
        "SASL_MECHANISM": "PLAIN",
        "USERNAME": "me",
        "START": "2026-09-01T12:00:00Z",
    }
    for key, value in said.items():
        monkeypatch.setenv(f"WIKIMIRROR_SOURCES__K__{key}", value)
    source = load().sources["k"]
    assert isinstance(source, KafkaSettings)
    assert source.bootstrap_servers == ("one:9092", "[2001:db8::1]:9093")
    assert source.dialects == {"pages": "page_change", "hidden": "visibility_change"}
    assert source.password is not None
    assert source.password.get_secret_value() == "hunter2"
    assert source.start == datetime(2026, 9, 1, 12, tzinfo=UTC)
    told = explain()
    assert told[f"{K}.password"] == ("********", f"secrets directory file {tmp_path}/sources__k__password")
    assert told[f"{K}.username"] == ("me", "environment WIKIMIRROR_SOURCES__K__USERNAME")


def test_no_secret_is_in_any_representation(file: str) -> None:
    secret = {"key_password": "hunter2", "certificate_file": file, "key_file": file}
    for said in ({**SCRAM, **secret, "password": "hunter2"}, TOKEN_URL):
        settings = load(None, flags(said))
        assert "hunter" not in f"{settings!r} {settings} {settings.told()}"
    assert {key.rpartition(".")[2] for key, secret in source_keys("kafka").items() if secret} == {
        "key_password",
        "password",
        "token_client_secret",
    }


@pytest.mark.parametrize("key", ["password", "token_client_secret", "key_password"])
def test_a_secret_of_more_than_a_line_is_a_fault_that_does_not_show_it(key: str) -> None:
    assert faults(**{key: "hunter2\nhunter3"})[key] == "must be a text of one line, and not empty"


@pytest.mark.parametrize("said", [["kafka:9092"], ["a:1", "b:2"], ["127.0.0.1:65535"], ["[::1]:9092"]])
def test_a_broker_is_named_by_host_and_port(said: list[str]) -> None:
    assert kafka(bootstrap_servers=said).bootstrap_servers == tuple(said)


@pytest.mark.parametrize(
    "said", ["kafka", "kafka:", ":9092", "kafka:0", "kafka:65536", "::1:9092", "kafka://a:1", "a b:1", "me:hunter2@a:1"]
)
def test_a_broker_without_a_host_or_a_port_is_a_fault(said: str) -> None:
    found = faults(bootstrap_servers=["a:1", said])
    rule = 'must be host:port, such as "kafka.example.org:9092" or "[2001:db8::1]:9092"'
    assert found == {"bootstrap_servers.1": rule}


def test_brokers_are_named_once_each_and_there_is_one() -> None:
    assert faults(bootstrap_servers=[])["bootstrap_servers"] == "must name at least one"
    assert faults(bootstrap_servers=["a:1", "a:1"])["bootstrap_servers"] == "must not name one twice"


@pytest.mark.parametrize("said", ["Pages_of-Wiki.v1", "x" * 249])
def test_a_topic_bears_a_name_that_kafka_takes(said: str) -> None:
    assert kafka(topics=[said]).topics == (said,)


@pytest.mark.parametrize("said", ["", ".", "..", "a b", "a/b", "ä", "x" * 250])
def test_any_other_name_of_a_topic_is_a_fault(said: str) -> None:
    assert "must be a name of at most 249 of" in faults(topics=[said])["topics.0"]


def test_topics_are_named_once_each() -> None:
    assert faults(topics=["a", "a"]) == {"topics": "must not name one twice"}


def test_topics_may_be_told_by_a_pattern_instead() -> None:
    assert kafka(topics=[], topic_pattern="eqiad[.].*").topic_pattern == "eqiad[.].*"


def test_a_pattern_is_not_said_beside_topics() -> None:
    assert faults(topic_pattern=".*") == {"topic_pattern": "must not be said beside topics"}


@pytest.mark.parametrize("said", ["(", "", "*a"])
def test_a_pattern_is_a_regular_expression(said: str) -> None:
    assert "must be a regular expression" in faults(topics=[], topic_pattern=said)["topic_pattern"]


def test_a_rule_is_not_told_of_a_key_beside_one_that_is_at_fault_itself() -> None:
    assert list(faults(topics=["a b"])) == ["topics.0"]
    assert list(faults(security_protocol="tls", sasl_mechanism="PLAIN", username="me", password="hunter2")) == [
        "security_protocol"
    ]


def test_dialects_name_only_topics_that_are_read() -> None:
    assert kafka(dialects={"pages": "page_change"}).dialects == {"pages": "page_change"}
    assert kafka(topics=[], topic_pattern=".*", dialects={"any": "page_change"}).dialects == {"any": "page_change"}
    found = faults(dialects={"pages": "page_change", "others": "page_change", "more": "page_change"})
    assert found == {"dialects": "must name only what topics names, which more, others is not"}


@pytest.mark.parametrize(
    ("said", "key", "rule"),
    [
        ({"pages": "avro"}, "dialects.pages", "must be 'page_change' or 'visibility_change'"),
        ({"a b": "page_change"}, "dialects.a b", "must be a name of at most 249 of"),
        ("pages", "dialects", "must be a table, or name=value between commas"),
        (["pages"], "dialects", "must be a section, with keys in it"),
    ],
)
def test_a_dialect_that_is_not_spoken_is_a_fault(said: object, key: str, rule: str) -> None:
    assert faults(dialects=said)[key].startswith(rule)


@pytest.mark.parametrize("said", ["", "x" * 256])
def test_a_group_has_a_name_of_some_length(said: str) -> None:
    assert "group" in faults(group=said)


@pytest.mark.parametrize("said", ["", "a b", "pod/0"])
def test_a_static_member_bears_a_name_that_kafka_takes(said: str) -> None:
    assert list(faults(member_id=said)) == ["member_id"]


@pytest.mark.parametrize("protocol", ["plaintext", "sasl_plaintext"])
@pytest.mark.parametrize("key", ["ca_file", "certificate_file", "key_file"])
def test_certificates_are_for_tls_only(protocol: str, key: str, file: str) -> None:
    rule = 'must be said only where security_protocol is "ssl" or "sasl_ssl"'
    assert faults(**{"security_protocol": protocol, key: file})[key] == rule


@pytest.mark.parametrize("key", ["ca_file", "certificate_file", "key_file", "password_file", "token_file"])
def test_a_file_must_be_there(key: str) -> None:
    assert faults(**{key: "/not/there"})[key] == "must be a file that is there"


def test_a_certificate_and_its_key_go_together(file: str) -> None:
    tls = {"security_protocol": "ssl"}
    assert faults(**tls, certificate_file=file) == {"key_file": "must be said: certificate_file needs it"}
    assert faults(**tls, key_file=file) == {"key_file": "must be said only where certificate_file is said"}
    assert faults(**tls, key_password="hunter2") == {"key_password": "must be said only where key_file is said"}
    assert kafka(**tls, ca_file=file, certificate_file=file, key_file=file, key_password="hunter2").ca_file == Path(
        file
    )


@pytest.mark.parametrize("protocol", ["plaintext", "ssl"])
def test_sasl_is_said_only_with_a_protocol_that_has_it(protocol: str) -> None:
    rule = 'must be said only where security_protocol is "sasl_ssl" or "sasl_plaintext"'
    assert faults(**{**SCRAM, "password": "hunter2", "security_protocol": protocol}) == {"sasl_mechanism": rule}


@pytest.mark.parametrize("protocol", ["sasl_plaintext", "sasl_ssl"])
def test_a_protocol_with_sasl_needs_a_mechanism(protocol: str) -> None:
    rule = f'must be said: security_protocol = "{protocol}" needs it'
    assert faults(security_protocol=protocol) == {"sasl_mechanism": rule}


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ("GSSAPI", "GSSAPI is Kerberos, whose libraries and tickets this program does not use"),
        ("AWS_MSK_IAM", "no other is spoken"),
        ("plain", "no other is spoken"),
        (7, "no other is spoken"),
    ],
)
def test_a_mechanism_that_is_not_spoken_is_refused_by_its_name(said: object, rule: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        load(None, flags({**SASL, "sasl_mechanism": said}))
    (found,) = raised.value.faults
    assert found.key == f"{K}.sasl_mechanism"
    assert str(said) in found.value
    assert found.rule.startswith("must be PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER")
    assert rule in found.rule


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_mechanism_with_a_password_needs_a_name_and_one_password(mechanism: str, file: str) -> None:
    sasl = {**SASL, "sasl_mechanism": mechanism}
    assert faults(**sasl) == {
        "username": f"must be said: {mechanism} needs it",
        "password_file": f"must be said, or password: {mechanism} needs one of them",
    }
    both = faults(**sasl, username="me", password="hunter2", password_file=file)
    assert both == {"password_file": "must not be said beside password"}
    assert kafka(**sasl, username="me", password_file=file).password_file == Path(file)
    assert kafka(**sasl, username="me", password="hunter2").password is not None


def test_a_password_is_said_only_where_one_is_shown(file: str) -> None:
    rule = "must be said only where sasl_mechanism is PLAIN or SCRAM"
    assert faults(username="me", password="hunter2") == {"username": rule, "password": rule}
    assert faults(password_file=file) == {"password_file": rule}
    assert faults(**OAUTH, token_file=file, username="me") == {"username": rule}


def test_a_token_comes_from_a_file_or_from_a_server(file: str) -> None:
    assert faults(**OAUTH) == {"token_url": "must be said, or token_file: OAUTHBEARER needs one of them"}
    assert faults(**TOKEN_URL, token_file=file) == {"token_url": "must not be said beside token_file"}
    assert kafka(**OAUTH, token_file=file).token_file == Path(file)
    assert kafka(**TOKEN_URL, token_scope="kafka").token_scope == "kafka"


def test_a_tokens_server_is_shown_an_id_and_one_secret(file: str) -> None:
    assert faults(**OAUTH, token_url="https://login/token") == {
        "token_client_id": "must be said: token_url needs it",
        "token_client_secret_file": "must be said, or token_client_secret: token_url needs one of them",
    }
    both = faults(**TOKEN_URL, token_client_secret_file=file)
    assert both == {"token_client_secret_file": "must not be said beside token_client_secret"}
    without = {key: value for key, value in TOKEN_URL.items() if key != "token_client_secret"}
    assert kafka(**without, token_client_secret_file=file).token_client_secret is None


def test_what_is_for_tokens_is_said_only_where_tokens_are_shown(file: str) -> None:
    rule = "must be said only where sasl_mechanism is OAUTHBEARER"
    assert faults(token_file=file) == {"token_file": rule}
    assert faults(**SCRAM, password="hunter2", token_url="https://login") == {"token_url": rule}
    rule = "must be said only where token_url is said"
    said = {"token_client_id": "me", "token_client_secret": "hunter2", "token_scope": "all"}
    assert faults(**OAUTH, token_file=file, **said) == dict.fromkeys(said, rule)
    assert faults(token_client_secret_file=file) == {"token_client_secret_file": rule}


@pytest.mark.parametrize("said", ["login/token", "ftp://login/token", "https://me:hunter2@login/token", "https://a/#b"])
def test_a_tokens_server_is_named_by_a_url_without_a_password(said: str) -> None:
    assert faults(**{**TOKEN_URL, "token_url": said})["token_url"].startswith("must be a URL that begins with https://")


@pytest.mark.parametrize(
    ("said", "key", "rule"),
    [
        ({"session_timeout": "15s"}, "session_timeout", "must be longer than request_timeout, which is 15s"),
        ({"request_timeout": "30s"}, "session_timeout", "must be longer than request_timeout, which is 30s"),
        ({"rebalance_timeout": "29s"}, "rebalance_timeout", "must not be shorter than session_timeout, which is 30s"),
        ({"idle_timeout": "14s"}, "idle_timeout", "must not be shorter than request_timeout, which is 15s"),
    ],
)
def test_a_wait_is_given_the_time_of_the_waits_within_it(said: dict[str, str], key: str, rule: str) -> None:
    assert faults(**said)[key] == rule


def test_waits_may_be_as_long_as_those_within_them() -> None:
    said = {"request_timeout": "5s", "session_timeout": "6s", "rebalance_timeout": "6s", "idle_timeout": "5s"}
    assert kafka(**said).rebalance_timeout == timedelta(seconds=6)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("request_timeout", "99ms"),
        ("session_timeout", "999ms"),
        ("rebalance_timeout", "2h"),
        ("metadata_interval", "0s"),
        ("idle_timeout", "2h"),
        ("acknowledge_interval", "99ms"),
        ("record_bytes", "1023"),
        ("isolation", "serializable"),
        ("security_protocol", "SASL_SSL"),
        ("start", "now"),
        ("on_gap", "ignore"),
    ],
)
def test_a_value_out_of_bounds_is_a_fault(key: str, said: str) -> None:
    assert key in faults(**{key: said})


def test_a_source_on_kafka_asks_for_no_contact() -> None:
    require_runnable(load(None, flags({})))
    with pytest.raises(InvalidSettings, match=r"http\.contact"):
        require_runnable(load(None, {**flags({}), "sources.public.type": "eventstreams"}))


def test_two_sources_in_one_group_on_the_same_brokers_are_not_run() -> None:
    def two(**said: object) -> dict[str, object]:
        other = {**LEAST, "bootstrap_servers": ["other:9092", "KAFKA:9092"], **said}
        return {**flags({}), **{f"sources.other.{key}": value for key, value in other.items()}}

    with pytest.raises(InvalidSettings) as raised:
        require_runnable(load(None, two()))
    assert raised.value.faults == (
        Fault(
            "sources.other.group",
            "",
            "must differ from that of k on the same brokers: one source would be given partitions that the other keeps"
            " the positions of",
            "all origins together",
        ),
    )
    require_runnable(load(None, two(group="mine")))
    require_runnable(load(None, two(bootstrap_servers=["other:9092"])))
