"""A runbook can be read at 3 a.m.: the same headings in each, the first command on the first screen, no riddles."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.runbooks.commands import RUNBOOKS, SECTIONS, commands_of, names, text_of
from wikimirror.observe.metrics import Metric
from wikimirror.observe.runbooks import Runbook

SCREEN: Final = 25
"""Lines."""
SERIES: Final = re.compile(r"`(wikimirror_[a-z_]+)")
INCIDENTS: Final = sorted(Path(__file__).parent.glob("test_*.py"))


def test_there_is_a_runbook_for_each_name_of_the_closed_set_and_no_other() -> None:
    assert names() == sorted(Runbook)


def test_the_index_names_each_runbook_with_its_symptom() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \| .+ \|$", (RUNBOOKS / "README.md").read_text(), re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(Runbook)
    assert all(name == file for name, file in rows)


@pytest.mark.parametrize("name", names())
def test_a_runbook_has_the_six_headings_in_their_order_and_something_below_each(name: str) -> None:
    text = text_of(name)
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == list(SECTIONS)
    for section in SECTIONS:
        assert text.partition(f"\n## {section}\n")[2].partition("\n## ")[0].strip(), section


@pytest.mark.parametrize("name", names())
def test_the_first_screen_tells_meaning_impact_and_the_first_command(name: str) -> None:
    lines = text_of(name).splitlines()
    first = next(number for number, line in enumerate(lines, 1) if line.startswith("$ "))
    assert first < SCREEN
    assert lines.index("## Meaning") < lines.index("## Impact") < lines.index("## Diagnosis") < first


@pytest.mark.parametrize("name", names())
def test_a_runbook_names_the_metric_that_its_alert_watches(name: str) -> None:
    meaning = text_of(name).partition("## Meaning")[2].partition("## Impact")[0]
    named = SERIES.findall(meaning)
    assert named
    assert set(named) <= {metric.series for metric in Metric}


@pytest.mark.parametrize("name", names())
def test_every_placeholder_is_explained_in_the_index(name: str) -> None:
    explained = set(re.findall(r"`<([A-Z]+)>`", (RUNBOOKS / "README.md").read_text()))
    used = set(re.findall(r"<([A-Z]+)>", text_of(name)))
    assert used <= explained


@pytest.mark.parametrize("name", names())
def test_diagnosis_and_verifying_look_and_write_nothing(name: str) -> None:
    looking = [each.text for each in commands_of(name) if each.section in {"Diagnosis", "Verify recovery"}]
    assert looking
    assert any(each.section == "Verify recovery" for each in commands_of(name))
    writes = re.compile(
        r"wikimirror (run|play|replay |purge|migrate|dead-letters (redrive|discard)|checkpoints (set|rewind))"
    )
    assert not [text for text in looking if writes.search(text) and "--dry-run" not in text]


@pytest.mark.parametrize("name", names())
def test_no_command_is_for_one_orchestrator_only(name: str) -> None:
    assert "kubectl" not in text_of(name)


@pytest.mark.parametrize("name", names())
def test_every_runbook_is_worked_through_against_a_staged_incident(name: str) -> None:
    parts = {each.part for each in commands_of(name)} - {""}
    tests = "\n".join(path.read_text(encoding="utf-8") for path in INCIDENTS)
    opened = re.findall(rf'opened\(\s*"{name}"(?:[^\n]*\n?[^\n]*?part="([^"]+)")?', tests)
    assert opened, "no test opens it"
    assert parts <= set(opened), f"no test works through {parts - set(opened)}"


@pytest.mark.parametrize("name", names())
def test_a_document_is_folded_for_a_terminal(name: str) -> None:
    prose = [line for line in text_of(name).splitlines() if not line.startswith(("$ ", "|"))]
    assert max(map(len, prose)) <= 160
