from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Program

FILE = """
[postgres]
url = "postgresql://me:hunter2@file/db"
[sources.public]
type = "eventstreams"
"""


def test_every_setting_tells_its_value_and_who_said_it(run: Program, tmp_path: Path) -> None:
    path = tmp_path / "wikimirror.toml"
    path.write_text(FILE)
    done = run(
        *("config", "show", "--config", str(path), "--schema", "mine", "--json"),
        env={"WIKIMIRROR_SOURCES__PUBLIC__DATACENTRES": "eqiad"},
    )
    assert done.code == 0
    told = done.document["settings"]
    assert told["postgres.url"] == {"value": "********", "source": f"file {path}"}
    assert told["postgres.schema"] == {"value": "mine", "source": "flag"}
    assert told["sources.public.datacentres"] == {
        "value": ["eqiad"],
        "source": "environment WIKIMIRROR_SOURCES__PUBLIC__DATACENTRES",
    }
    assert told["apply.batch_age_ms"] == {"value": 20, "source": "default"}
    assert told["http.contact"] == {"value": None, "source": "default"}


def test_a_person_reads_the_same_and_no_secret(run: Program, tmp_path: Path) -> None:
    path = tmp_path / "wikimirror.toml"
    path.write_text(FILE)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "postgres__url").write_text("postgresql://me:hunter3@secret/db")
    done = run("config", "show", "--config", str(path), env={"WIKIMIRROR_SECRETS_DIR": str(secrets)})
    assert done.code == 0
    assert done.err == ""
    assert "hunter" not in done.out
    lines = {line.split()[0]: " ".join(line.split()) for line in done.out.splitlines()}
    assert lines["sources.public.type"] == f"sources.public.type eventstreams file {path}"
    assert lines["apply.batch_age_ms"] == "apply.batch_age_ms 20 default"
    assert "********" in lines["postgres.url"]


def test_settings_that_cannot_be_used_are_faults(run: Program) -> None:
    done = run("config", "show", "--json", env={"WIKIMIRROR_LAW__SKEW_SECONDS": "soon"})
    assert done.code == 2
    assert [fault["key"] for fault in done.document["error"]["faults"]] == ["law.skew_seconds"]


def test_nothing_is_connected_to(run: Program) -> None:
    done = run("config", "show", "--postgres", "postgresql://nobody@127.0.0.1:1/none")
    assert done.code == 0
