from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Program

BAD = """
[postgres]
url = "mysql://somebody:hunter2@example.org/db"

[apply]
batch_records = 0
batch_agems = 250

[law]
skew_seconds = "soon"
"""


def test_good_settings_are_told_in_full(run: Program) -> None:
    done = run("check-config", "--json", env={"WIKIMIRROR_SCOPE__WIKIS": "enwiki,dewiki"})
    assert done.code == 0
    assert done.document["settings"]["scope.wikis"] == ["enwiki", "dewiki"]
    assert done.document["settings"]["law.skew_seconds"] == 300


def test_a_named_source_is_told_in_full(run: Program, tmp_path: Path) -> None:
    path = tmp_path / "good.toml"
    path.write_text('[sources.public]\ntype = "eventstreams"\nstart = 2026-09-01T12:00:00Z\n')
    done = run("check-config", str(path), "--json", env={"WIKIMIRROR_SOURCES__PUBLIC__URL": "http://127.0.0.1:8080"})
    assert done.code == 0
    told = done.document["settings"]
    assert told["sources.public.url"] == "http://127.0.0.1:8080"
    assert told["sources.public.start"] == "2026-09-01T12:00:00Z"
    assert told["sources.public.datacentres"] == ["eqiad", "codfw"]


def test_faults_of_a_named_source_bear_its_name(run: Program) -> None:
    said = {"TYPE": "eventstreams", "URL": "https://me:hunter2@here", "RETENTION": "1h", "OVERLAP": "2h"}
    variables = {f"WIKIMIRROR_SOURCES__PUBLIC__{key}": value for key, value in said.items()}
    done = run("check-config", env={**variables, "WIKIMIRROR_SOURCES__OTHER__TYPE": "telegraph"})
    assert done.code == 2
    for key in ("public.url", "public.overlap", "other.type"):
        assert f"sources.{key} = " in done.err
    assert "environment WIKIMIRROR_SOURCES__OTHER__TYPE" in done.err
    assert "hunter2" not in done.err


def test_every_fault_is_named_at_once_with_key_value_rule_and_source(run: Program, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(BAD)
    done = run("check-config", str(path), "--json", env={"WIKIMIRROR_LOG__LEVEL": "loud"})
    assert done.code == 2
    faults = {fault["key"]: fault for fault in done.document["error"]["faults"]}
    assert set(faults) == {
        "postgres.url",
        "apply.batch_records",
        "apply.batch_agems",
        "law.skew_seconds",
        "log.level",
    }
    assert faults["apply.batch_records"]["value"] == "0"
    assert faults["apply.batch_records"]["rule"] == "must be greater than or equal to 1"
    assert faults["apply.batch_records"]["source"] == f"file {path}"
    assert faults["apply.batch_agems"]["rule"] == "is not a setting; apply.batch_age_ms is"
    assert faults["log.level"]["source"] == "environment WIKIMIRROR_LOG__LEVEL"


def test_a_person_reads_the_same_faults_and_no_secret(run: Program, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(BAD)
    done = run("check-config", str(path))
    assert done.code == 2
    assert done.out == ""
    assert "4 settings cannot be used" in done.err
    assert "postgres.url = ********" in done.err
    assert "hunter2" not in done.err


def test_a_password_is_never_told_even_when_all_is_well(run: Program) -> None:
    secret = {"WIKIMIRROR_POSTGRES__URL": "postgresql://somebody:hunter2@example.org/db"}
    for arguments in (["check-config"], ["check-config", "--json"]):
        done = run(*arguments, env=secret)
        assert done.code == 0
        assert "********" in done.out
        assert "hunter2" not in done.out + done.err


def test_a_file_that_is_not_there_is_a_fault_of_configuration(run: Program, tmp_path: Path) -> None:
    done = run("check-config", env={"WIKIMIRROR_CONFIG": str(tmp_path / "none.toml")})
    assert done.code == 2
    assert "No such file" in done.err
