from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Program
from wikimirror.rehearsal import TruePage, Truth, day_to_ndjson, simulate_day


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    simulated = simulate_day(8, 400)
    path = tmp_path_factory.mktemp("captures") / "day.ndjson.gz"
    path.write_bytes(gzip.compress(b"".join(day_to_ndjson(simulated))))
    return path, simulated.truth


@pytest.fixture
async def mirror(run: Program, day: tuple[Path, Truth], make_database: Callable[..., Awaitable[str]]) -> dict[str, str]:
    """The environment that points to a mirror of the day."""
    url = await make_database(empty=True)
    assert run("play", str(day[0]), "--postgres", url).code == 0
    return {"WIKIMIRROR_POSTGRES__URL": url}


def pick(truth: Truth, state: str) -> TruePage:
    titles = [page.title for page in truth.pages.values()]
    return next(
        page
        for page in truth.pages.values()
        if page.state == state and page.title is not None and titles.count(page.title) == 1
    )


def test_a_page_is_found_by_number_and_by_title(run: Program, day: tuple[Path, Truth], mirror: dict[str, str]) -> None:
    page = pick(day[1], "live")
    assert page.title is not None
    by_number = run("page", "show", page.wiki_id, str(page.page_id), "--json", env=mirror)
    by_title = run("page", "show", page.wiki_id, page.title.replace(" ", "_"), "--json", env=mirror)
    assert by_number.code == by_title.code == 0
    assert by_number.document == by_title.document
    assert by_number.document["title"] == page.title
    assert by_number.document["current"]["rev_id"] == page.rev_id

    told = run("page", "show", page.wiki_id, page.title, env=mirror)
    assert told.code == 0
    assert page.title in told.out
    assert "live" in told.out


def test_a_page_s_history_is_its_ledger_and_its_revisions(
    run: Program, day: tuple[Path, Truth], mirror: dict[str, str]
) -> None:
    page = pick(day[1], "deleted")
    done = run("page", "history", page.wiki_id, str(page.page_id), "--json", env=mirror)
    assert done.code == 0
    kinds = [entry["kind"] for entry in done.document["entries"]]
    assert kinds[-1] == "delete" or "delete" in kinds
    known = {key[1] for key, row in day[1].revisions.items() if row.page_id == page.page_id}
    assert {revision["rev_id"] for revision in done.document["revisions"]} <= known
    assert all(revision["comment"] is None for revision in done.document["revisions"]), "deleted, so hidden"

    told = run("page", "history", page.wiki_id, str(page.page_id), env=mirror)
    assert "delete" in told.out
    assert "(hidden)" in told.out


@pytest.mark.parametrize("page", ["No such page", "99"])
def test_a_page_that_is_not_there_fails_with_1_and_says_how_to_ask(run: Program, database_url: str, page: str) -> None:
    done = run("page", "show", "enwiki", page, "--json", "--postgres", database_url)
    assert done.code == 1
    assert "enwiki" in done.document["error"]["message"]
    assert "case-sensitive" in done.document["error"]["remedy"]


def test_a_number_that_no_page_can_have_is_wrong_usage(run: Program) -> None:
    done = run("page", "show", "enwiki", str(2**63))
    assert done.code == 2
    assert "--title" in done.err
