"""Named sources: what each may say, and where."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wikimirror.settings import EventStreamsSettings, Fault, InvalidSettings, Settings, load, require_runnable
from wikimirror.wire import CAPTURE

PUBLIC = {"sources.public.type": "eventstreams"}


def faults(flags: Mapping[str, object] | None = None, path: Path | None = None) -> list[Fault]:
    with pytest.raises(InvalidSettings) as raised:
        load(path, flags)
    return list(raised.value.faults)


def fault(key: str, value: object) -> Fault:
    """The one fault of a source that says this of a key."""
    (found,) = faults({**PUBLIC, f"sources.public.{key}": value})
    assert found.key.startswith(f"sources.public.{key}")
    return found


def public(key: str, value: object) -> EventStreamsSettings:
    source = load(None, {**PUBLIC, f"sources.public.{key}": value}).sources["public"]
    assert isinstance(source, EventStreamsSettings)
    return source


def test_a_source_needs_only_its_type() -> None:
    assert load(None, PUBLIC).sources == {"public": EventStreamsSettings(type="eventstreams")}


def test_a_source_is_put_together_from_file_secrets_directory_environment_and_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "wikimirror.toml"
    path.write_text('[sources.public]\ntype = "eventstreams"\nurl = "http://file"\noverlap = "1s"\nretention = "1d"\n')
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "sources__public__overlap").write_text("2s\n")
    (secrets / "sources__public__url").write_text("http://secret")
    monkeypatch.setenv("WIKIMIRROR_SECRETS_DIR", str(secrets))
    monkeypatch.setenv("WIKIMIRROR_SOURCES__PUBLIC__URL", "http://environment")
    monkeypatch.setenv("WIKIMIRROR_SOURCES__PUBLIC__ON_GAP", "halt")

    source = load(path, {"sources.public.on_gap": "continue"}).sources["public"]

    assert isinstance(source, EventStreamsSettings)
    assert source.retention == timedelta(days=1)
    assert source.overlap == timedelta(seconds=2)
    assert source.url == "http://environment"
    assert source.on_gap == "continue"


def test_a_source_may_be_there_by_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIKIMIRROR_SOURCES__LOCAL_WIKI__TYPE", "eventstreams")
    monkeypatch.setenv("WIKIMIRROR_SOURCES__LOCAL_WIKI__STREAMS", "mediawiki.page_change.v1, mediawiki.page-move")
    monkeypatch.setenv("WIKIMIRROR_SOURCES__LOCAL_WIKI__DATACENTRES", '["eqiad"]')
    source = load().sources["local_wiki"]
    assert isinstance(source, EventStreamsSettings)
    assert source.streams == ("mediawiki.page_change.v1", "mediawiki.page-move")
    assert source.datacentres == ("eqiad",)


def test_several_sources_may_be_followed() -> None:
    assert list(load(None, {**PUBLIC, "sources.other.type": "eventstreams"}).sources) == ["public", "other"]


def test_a_source_whose_name_is_misspelt_in_a_variable_is_a_fault_and_no_second_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WIKIMIRROR_SOURCES__PUBLLIC__URL", "http://here")
    assert faults({**PUBLIC}) == [
        Fault(
            "sources.publlic.type",
            "",
            'must be said: "eventstreams" or "kafka"',
            "environment WIKIMIRROR_SOURCES__PUBLLIC__…",
        )
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("WIKIMIRROR_SOURCES_PUBLIC_URL", "WIKIMIRROR_SOURCES__PUBLIC__URL"),
        ("WIKIMIRROR_SOURCES_LOCAL_WIKI_IDLE_TIMEOUT", "WIKIMIRROR_SOURCES__LOCAL_WIKI__IDLE_TIMEOUT"),
        ("WIKIMIRROR_SOURCE__PUBLIC__URL", "WIKIMIRROR_SOURCES__NAME__URL"),
    ],
)
def test_a_misspelt_variable_of_a_source_is_a_fault(name: str, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://here")
    assert faults(PUBLIC) == [Fault(name, "", f"is not a setting; {meant} is", "environment")]


def test_variables_that_kubernetes_sets_for_a_service_of_that_name_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("WIKIMIRROR_SOURCES_SERVICE_HOST", "WIKIMIRROR_SOURCES_PORT_443_TCP_ADDR", "WIKIMIRROR_ADMIN_PORT"):
        monkeypatch.setenv(name, "tcp://10.0.0.1:443")
    assert load() == Settings()


def test_a_misspelt_key_of_a_source_is_a_fault_that_names_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIKIMIRROR_SOURCES__PUBLIC__OVERLAPS", "hunter2")
    assert faults(PUBLIC) == [
        Fault(
            "sources.public.overlaps",
            "********",
            "is not a setting; sources.public.overlap is",
            "environment WIKIMIRROR_SOURCES__PUBLIC__OVERLAPS",
        )
    ]


@pytest.mark.parametrize("name", ["public", "p", "local_wiki", "a1_b2", "x" * 63])
def test_a_source_bears_a_name(name: str) -> None:
    assert list(load(None, {f"sources.{name}.type": "eventstreams"}).sources) == [name]


@pytest.mark.parametrize("name", ["Public", "1st", "_a", "a_", "local__wiki", "local-wiki", "wiki ä", "x" * 64])
def test_a_name_that_no_variable_could_bear_is_a_fault(name: str) -> None:
    (found,) = faults({f"sources.{name}.type": "eventstreams"})
    assert (found.key, found.value, found.source) == (f"sources.{name}", "", "flag")
    assert found.rule == "must be a name of at most 63 of a-z, 0-9 and single underscores between them"


def test_no_source_is_called_as_captures_are() -> None:
    (found,) = faults({f"sources.{CAPTURE}.type": "eventstreams"})
    assert found.rule == "must be another name: this one is that of recorded captures"


@pytest.mark.parametrize(
    ("said", "key"), [('sources = "public"', "sources"), ('sources.public = "eventstreams"', "sources.public")]
)
def test_a_source_that_is_no_section_is_a_fault(tmp_path: Path, said: str, key: str) -> None:
    path = tmp_path / "wikimirror.toml"
    path.write_text(said)
    assert faults(path=path) == [Fault(key, "********", "must be a section, with keys in it", f"file {path}")]


def test_what_is_both_a_value_and_a_section_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sources").write_text("public")
    (tmp_path / "sources__public__url").write_text("http://here")
    monkeypatch.setenv("WIKIMIRROR_SECRETS_DIR", str(tmp_path))
    source = f"secrets directory file {tmp_path}/sources"
    assert faults() == [Fault("sources", "********", "must be a section, with keys in it", source)]


def test_a_type_that_is_not_there_is_a_fault() -> None:
    assert faults({"sources.public.type": "telegraph", "sources.public.url": "hunter2"}) == [
        Fault("sources.public.type", '"telegraph"', 'must be "eventstreams" or "kafka"', "flag")
    ]


def test_a_key_of_another_type_of_source_is_a_fault() -> None:
    found = fault("dialects", {"pages": "page_change"})
    assert found.key == "sources.public.dialects"
    assert found.rule.startswith("is not a setting")
    assert "dialects" not in found.rule


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("https://stream.wikimedia.org", "https://stream.wikimedia.org"),
        ("https://stream.wikimedia.org/", "https://stream.wikimedia.org"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_the_service_is_named_by_the_root_of_its_url(said: str, meant: str) -> None:
    assert public("url", said).url == meant


@pytest.mark.parametrize(
    "url",
    [
        "stream.wikimedia.org",
        "ftp://stream.wikimedia.org",
        "https://",
        "https://stream.wikimedia.org/v2/stream",
        "https://stream.wikimedia.org?since=1",
        "https://stream.wikimedia.org#",
        "https://stream.wikimedia.org:99999",
        "https://stream.wikimedia.org:http",
        "https://[::1",
        "https://stream.wiki media.org",
        "https://stream.wikimedia.org\r\nX: y",
        7,
    ],
)
def test_any_other_url_of_a_service_is_a_fault(url: object) -> None:
    assert fault("url", url).rule.startswith("must be a")


@pytest.mark.parametrize("url", ["https://me:hunter2@stream.wikimedia.org", "me:hunter2@here", "https://:hun/ter2@h"])
def test_a_password_in_a_url_where_none_belongs_is_a_fault_and_masked(url: str) -> None:
    assert fault("url", url).value == "********"


@pytest.mark.parametrize("key", ["streams", "datacentres"])
@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ([], "must name at least one"),
        ("all", "must name at least one"),
        (["a", "b", "a"], "must not name one twice"),
        (["a", "b,c"], "must be a name of a-z, 0-9, dot, underscore and hyphen"),
        (["a/../b"], "must be a name of a-z, 0-9, dot, underscore and hyphen"),
        ([""], "must be a name of a-z, 0-9, dot, underscore and hyphen"),
    ],
)
def test_streams_and_datacentres_are_names_each_once(key: str, said: object, rule: str) -> None:
    assert fault(key, said).rule == rule


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("latest", "latest"),
        ("earliest", "earliest"),
        ("2026-09-01T12:00:00Z", datetime(2026, 9, 1, 12, tzinfo=UTC)),
        ("2026-09-01t12:00:00z", datetime(2026, 9, 1, 12, tzinfo=UTC)),
        ("2026-09-01 14:00:00.250+02:00", datetime(2026, 9, 1, 12, 0, 0, 250_000, tzinfo=UTC)),
        (datetime(2026, 9, 1, 12, tzinfo=UTC), datetime(2026, 9, 1, 12, tzinfo=UTC)),
    ],
)
def test_reading_starts_at_a_word_or_an_instant(said: object, meant: object) -> None:
    assert public("start", said).start == meant


@pytest.mark.parametrize(
    "said",
    [
        "now",
        "",
        "2026-09-01",
        "2026-09-01T12:00:00",
        "2026-13-01T12:00:00Z",
        "20260901T120000Z",
        "0001-01-01T00:00:00+14:00",
        datetime(2026, 9, 1),  # noqa: DTZ001  # without a zone on purpose
        1_790_000_000,
    ],
)
def test_a_start_that_is_no_instant_is_a_fault(said: object) -> None:
    assert "an instant with its zone" in fault("start", said).rule


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("overlap", "-1s"),
        ("overlap", "120"),
        ("idle_timeout", "999ms"),
        ("idle_timeout", "61m"),
        ("connect_timeout", "0s"),
        ("connect_timeout", "6m"),
        ("retention", "0s"),
        ("retention", "999999999999999d"),
        ("record_bytes", 0),
        ("record_bytes", "2GiB"),
        ("on_gap", "ignore"),
    ],
)
def test_a_quantity_out_of_bounds_is_a_fault(key: str, said: object) -> None:
    fault(key, said)


def test_without_overlap_is_allowed() -> None:
    assert public("overlap", "0s").overlap == timedelta(0)


@pytest.mark.parametrize("overlap", ["2h", "3h"])
def test_the_overlap_must_be_shorter_than_what_the_service_keeps(overlap: str) -> None:
    (found,) = faults({**PUBLIC, "sources.public.retention": "2h", "sources.public.overlap": overlap})
    assert (found.key, found.rule) == ("sources.public.overlap", "must be shorter than retention, which is 2h")


@pytest.mark.parametrize(
    "contact",
    [
        "me@example.org",
        "mailto:first.last+wiki@mail.example.org",
        "https://example.org/about",
        "https://en.wikipedia.org/wiki/User:Example",
    ],
)
def test_a_contact_is_a_mail_address_or_a_url(contact: str) -> None:
    settings = load(None, {**PUBLIC, "http.contact": contact})
    assert settings.http.contact == contact
    require_runnable(settings)


@pytest.mark.parametrize(
    "contact",
    [
        "",
        "me",
        "me@",
        "me@example",
        "example.org",
        "ftp://example.org",
        "me@example.org\r\nX: y",
        "a b@example.org",
        "https://example.org/(me)",
        "https://me:hunter2@example.org",
        "http://me:hunter2@example.org/x",
    ],
)
def test_any_other_contact_is_a_fault(contact: str) -> None:
    (found,) = faults({"http.contact": contact})
    assert found.rule.startswith("must be a mail address, or a URL")
    assert "hunter2" not in str(found)


def test_without_a_source_there_is_nothing_to_run_and_the_fault_says_what_to_use() -> None:
    with pytest.raises(InvalidSettings, match=r"--config config/eventstreams\.toml") as raised:
        require_runnable(Settings())
    assert raised.value.exit_code == 2


def test_a_source_without_a_contact_is_not_run() -> None:
    with pytest.raises(InvalidSettings, match=r"http\.contact: .* WIKIMIRROR_HTTP__CONTACT"):
        require_runnable(load(None, PUBLIC))


def test_more_sources_on_a_service_than_it_allows_connections_are_not_run() -> None:
    three = {f"sources.{name}.type": "eventstreams" for name in ("one", "two", "three")}
    contact = {"http.contact": "me@example.org"}
    with pytest.raises(InvalidSettings) as raised:
        require_runnable(load(None, {**three, **contact, "sources.two.url": "https://STREAM.wikimedia.org:443/"}))
    (found,) = raised.value.faults
    assert (found.key, found.value) == ("sources", "one, two, three")
    assert "at most 2 sources on stream.wikimedia.org" in found.rule

    require_runnable(load(None, {**three, **contact, "sources.two.url": "https://stream.wikimedia.org:8443"}))
