"""The breaks are kept in step with the source that they break."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.mutants.judge import is_by_assertion
from tests.mutants.run import ROOT, SOURCE, Break, DoesNotApplyError, Edit, apply, read_breaks

BREAKS = read_breaks()


@pytest.mark.parametrize("breaking", BREAKS, ids=[each.name for each in BREAKS])
def test_each_break_still_applies_and_its_tests_are_there(breaking: Break, tmp_path: Path) -> None:
    for edit in breaking.edits:
        target = tmp_path / edit.file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCE / edit.file, target)
    apply(breaking, tmp_path)
    for test in breaking.tests:
        path, _, name = test.partition("::")
        assert (ROOT / path).exists(), test
        assert not name or f"def {name}(" in (ROOT / path).read_text(), test


def test_each_break_has_a_name_of_its_own() -> None:
    assert len({each.name for each in BREAKS}) == len(BREAKS) >= 18


def test_a_break_whose_text_is_gone_or_there_twice_says_so(tmp_path: Path) -> None:
    (tmp_path / "law.py").write_text("a = 1\na = 1\n")
    for old, count in (("b = 1", 0), ("a = 1", 2)):
        with pytest.raises(DoesNotApplyError, match=f"law.py has this {count} times, not once: '{old}'"):
            apply(Break("some", "", (), (Edit("law.py", old, ""),)), tmp_path)


def test_only_an_assertion_of_the_tests_counts_as_noticing() -> None:
    def raised(error: type[BaseException]) -> BaseException:
        with pytest.raises(error) as told:
            raise error
        return told.value

    assert is_by_assertion(raised(AssertionError))
    assert is_by_assertion(BaseExceptionGroup("several", [raised(KeyError), raised(AssertionError)]))
    assert not is_by_assertion(raised(KeyError))
    assert not is_by_assertion(AssertionError("raised nowhere in the tests"))
    with pytest.raises(pytest.fail.Exception) as told:
        pytest.fail("as pytest.raises says it")
    assert is_by_assertion(told.value)
    with pytest.raises(pytest.fail.Exception) as told:
        pytest.fail("Timeout (>60.0s) from pytest-timeout.")
    assert not is_by_assertion(told.value)
