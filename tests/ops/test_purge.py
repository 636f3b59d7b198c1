"""`purge --wiki`: as the schema's owner, refused to the daemon's role, beside a daemon that mirrors another wiki."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.daemon import Daemon
from tests.live.program import PROGRAM, wikimirror
from tests.live.truth import durable
from tests.live.world import a_day, serve
from tests.statements import run
from wikimirror.app.demo import expected_of
from wikimirror.errors import DatabaseUnavailable
from wikimirror.mirror import purging
from wikimirror.mirror.connect import Limits, Session, connect
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.mirror.purging import TABLES, Purge, count_rows
from wikimirror.ops.compare import compare
from wikimirror.ops.purge import in_scope
from wikimirror.rehearsal import WIKIS
from wikimirror.settings import Settings

SEED, ACTIONS = 73, 1500
OTHERS = list(WIKIS[1:])
GONE, KEPT = "gonewiki", "keptwiki"
CHANGES = """
INSERT INTO change
SELECT int8send(n), $1, n / 3, n, 'edit', 0, now(), now(), now(), clock_timestamp(), 'wiki', 'topic', 0, n, 'applied'
FROM generate_series(1, 30) AS n
"""
FILLING = (
    "INSERT INTO page (wiki_id, page_id, state, title) SELECT $1, n, 'live', 'T' || n FROM generate_series(1, 9) AS n",
    # Of some the page is not there, and of one it is not known.
    """
INSERT INTO revision (wiki_id, rev_id, page_id, content_visible, editor_visible, comment_visible)
SELECT $1, n, nullif(n / 2, 0), true, true, true FROM generate_series(1, 30) AS n
""",
    "INSERT INTO revision_page SELECT $1, n, n + 1 FROM generate_series(1, 20) AS n",
    "INSERT INTO body SELECT $1, n, 'wikitext', 'text' FROM generate_series(1, 40) AS n",
    "INSERT INTO reconcile (wiki_id, page_id, reason) SELECT $1, n, 'late' FROM generate_series(1, 12) AS n",
    """
INSERT INTO dead_letter (source, topic, partition, "offset", reason, wiki_id)
SELECT 'wiki', $1, 0, n, 'not_json', $1 FROM generate_series(1, 5) AS n
""",
    CHANGES,
)
CORRECTION = """
INSERT INTO correction VALUES ($1, $2, 1, 10, 'deletion', '{text}', 1, '\\x00', now(), now(), now(), 1.5, 'k', 't', 0,
    5, '\\x00', '\\x00')
"""
Settings_ = Callable[[str, list[str]], str]
LOGINS = {"purge_owner": "wikimirror_owner", "purge_writer": "wikimirror_writer"}


@pytest.fixture(scope="module")
def server(postgres_server: EmbeddedPostgres, _template: str) -> Iterator[EmbeddedPostgres]:
    """The run's Postgres, with a login for the owner and one for the writer."""
    made = [f"CREATE ROLE {name} LOGIN IN ROLE {role}" for name, role in LOGINS.items()]
    asyncio.run(run(postgres_server.dsn(), *made))
    yield postgres_server
    asyncio.run(run(postgres_server.dsn(), *(f"DROP ROLE {name}" for name in LOGINS)))


def as_login(database_url: str, name: str) -> str:
    assert "//postgres@" in database_url
    return database_url.replace("//postgres@", f"//{name}@")


@pytest.fixture
async def filled(database_url: str) -> str:
    """The URL of a mirror that has rows of two wikis in every table."""
    async with await connect(database_url) as session, session.transaction():
        for number, wiki in enumerate((GONE, KEPT)):
            for statement in FILLING:
                await session.execute(statement, wiki)
            await session.execute(CORRECTION, number, wiki)
        await session.execute("INSERT INTO checkpoint VALUES ('wiki', 'topic', 0, 10)")
    return database_url


@pytest.fixture
def settings(tmp_path: Path) -> Callable[[str, list[str]], str]:
    """`settings(database_url, wikis)` gives the path of a settings file with that scope."""

    def make(database_url: str, wikis: list[str]) -> str:
        path = tmp_path / f"settings-{len(list(tmp_path.iterdir()))}.toml"
        path.write_text(f'[postgres]\nurl = "{database_url}"\n[scope]\nwikis = {wikis}\n')
        return str(path)

    return make


async def counted(database_url: str, wiki: str) -> dict[str, int]:
    async with await connect(database_url) as session:
        return await count_rows(session, wiki)


async def others(database_url: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the other wiki, all corrections, all positions."""
    async with await connect(database_url) as session, session.transaction():
        found = {
            table: await session.fetch(f"SELECT t::text FROM {table} t WHERE wiki_id = $1 ORDER BY 1", KEPT)
            for table in TABLES
        }
        found["correction"] = await session.fetch("SELECT t::text FROM correction t ORDER BY 1")
        found["checkpoint"] = await session.fetch("SELECT t::text FROM checkpoint t ORDER BY 1")
    return {table: [tuple(row) for row in rows] for table, rows in found.items()}


async def test_the_owner_purges_a_wiki_from_every_table_and_touches_no_other_and_no_correction(
    server: EmbeddedPostgres, filled: str, settings: Settings_
) -> None:
    assert server.dsn()
    config = settings(as_login(filled, "purge_owner"), [KEPT])
    before, kept = await counted(filled, GONE), await others(filled)
    assert min(before.values()) > 0
    code, shown = await wikimirror("purge", "--wiki", GONE, "--dry-run", "--config", config)
    assert (code, shown["purged"]) == (0, False)
    assert await counted(filled, GONE) == before
    code, done = await wikimirror("purge", "--wiki", GONE, "--yes", "--config", config)
    assert (code, done["purged"]) == (0, True)
    assert await counted(filled, GONE) == {**dict.fromkeys(TABLES, 0), "correction": before["correction"]}
    assert await others(filled) == kept
    for told in (shown["wikis"][0], done["wikis"][0]):
        assert {**told["rows"], "correction": told["corrections"]} == before
    # Again it finds nothing, and that is no failure.
    code, again = await wikimirror("purge", "--wiki", GONE, "--yes", "--config", config)
    assert (code, sum(again["wikis"][0]["rows"].values())) == (0, 0)
    _, noted = await wikimirror("operations", "--command", "purge", "--config", config)
    assert [(row["result"], row["dry_run"], row["role"]) for row in noted["operations"]] == [
        ("done", False, "purge_owner"), ("done", False, "purge_owner"), ("done", True, "purge_owner"),
    ]  # fmt: skip
    assert noted["operations"][1]["summary"][GONE]["page"] == before["page"]


async def test_the_daemons_own_role_is_refused_with_the_role_to_use_and_nothing_is_deleted(
    server: EmbeddedPostgres, filled: str, settings: Settings_
) -> None:
    assert server.dsn()
    before = await counted(filled, GONE)
    config = settings(as_login(filled, "purge_writer"), [KEPT])
    code, refused = await wikimirror("purge", "--wiki", GONE, "--yes", "--config", config)
    assert await counted(filled, GONE) == before
    assert (code, refused["error"]["kind"]) == (1, "Refused")
    assert "purge_writer may not delete from page, revision, revision_page, change" in refused["error"]["message"]
    assert "wikimirror_owner" in refused["error"]["remedy"]
    async with await connect(filled) as session, session.transaction():
        assert await session.fetchval("SELECT result FROM operation") == "refused"


@pytest.mark.parametrize("wikis", [[KEPT, GONE], []])
async def test_while_the_settings_have_the_wiki_in_scope_it_is_refused_with_what_to_do(
    filled: str, settings: Settings_, wikis: list[str]
) -> None:
    before, config = await counted(filled, GONE), settings(filled, wikis)
    code, refused = await wikimirror("purge", "--wiki", GONE, "--yes", "--config", config)
    _, shown = await wikimirror("purge", "--wiki", GONE, "--dry-run", "--config", config)
    assert await counted(filled, GONE) == before
    assert (code, refused["error"]["kind"]) == (1, "Refused")
    assert "scope.wikis" in refused["error"]["remedy"]
    assert shown["in_scope"] == [GONE]


async def test_without_yes_and_away_from_a_terminal_it_shows_the_rows_and_deletes_nothing(
    filled: str, settings: Settings_
) -> None:
    before = await counted(filled, GONE)
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "purge", "--wiki", GONE, "--config", settings(filled, [KEPT]),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert await counted(filled, GONE) == before
    assert (process.returncode, out) == (1, b"")
    assert f"{GONE}: {sum(before[table] for table in TABLES):,} rows would be deleted" in err.decode()
    assert "say --yes" in err.decode()


async def test_rows_that_come_back_meanwhile_are_told_of_with_what_to_do(filled: str, settings: Settings_) -> None:
    # As a daemon does that still has the wiki in scope.
    async with await connect(filled) as session, session.transaction():
        await session.execute(
            f"""
            CREATE FUNCTION come_back() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN {CHANGES.replace("$1", f"'{GONE}'").replace("1, 30", "31, 32")}; RETURN NULL; END $$
            """
        )
        await session.execute("CREATE TRIGGER t AFTER DELETE ON page EXECUTE FUNCTION come_back()")
    code, done = await wikimirror("purge", "--wiki", GONE, "--yes", "--config", settings(filled, [KEPT]))
    assert (code, done["wikis"][0]["came_back"]) == (3, 2)


async def test_beside_a_daemon_that_mirrors_another_wiki_nobody_is_held_up_and_that_wiki_is_the_truth(
    database_url: str, tmp_path: Path
) -> None:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world:
        world.publish(15.0)
        async with Daemon(world.config()) as daemon:
            for _ in range(10):
                await daemon.line("durable")
            assert await daemon.stop() == 0
        config = world.config(scope={"wikis": OTHERS})
        async with Daemon(config) as daemon:
            await daemon.line("reading")
            await daemon.line("durable")
            assert not world.publication.done
            code, done = await wikimirror("purge", "--wiki", WIKIS[0], "--yes", "--config", str(config))
            assert (code, done["wikis"][0]["came_back"]) == (0, 0)
            await world.published()
            await durable(database_url, world.log.ends)
            assert await daemon.stop() == 0
            assert not daemon.lines("waiting")
        async with await connect(database_url) as session, session.transaction():
            # What was deleted or hidden there is noted whatever the scope, and nothing else.
            content = await session.fetch(
                "SELECT page_id FROM page WHERE wiki_id = $1 AND (state = 'live' OR title IS NOT NULL)", WIKIS[0]
            )
            texts = await session.fetchval("SELECT count(*) FROM body WHERE wiki_id = $1", WIKIS[0])
        assert (content, texts) == ([], 0)
        async with await connect(database_url) as session:
            found = await compare(session, expected_of(Settings.model_construct(), world.day.truth))
    assert [each for each in found.differences if WIKIS[0] not in each.key] == []
    assert found.forbidden_found == 0


async def test_a_daemon_that_still_has_the_wiki_in_scope_is_found_out(database_url: str, tmp_path: Path) -> None:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world, Daemon(world.config()) as daemon:
        world.publish(20.0)
        await daemon.line("durable")
        came_back = 0
        async with await connect(database_url) as session:
            while not came_back:
                assert not world.publication.done
                work = Purge(session, WIKIS[0], lambda _rows: None)
                await work.run()
                came_back = work.came_back


async def test_broken_off_at_any_point_it_goes_on_when_it_is_begun_again(
    filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "ROWS", 7)
    monkeypatch.setattr(purging, "_PAGES", 3)

    class BrokenOff(Exception):
        pass

    before = await counted(filled, GONE)
    async with await connect(filled) as session:
        for last in range(1, 30):
            told: list[int] = []

            def after(rows: int, told: list[int] = told, last: int = last) -> None:
                told.append(rows)
                if len(told) == last:
                    raise BrokenOff

            try:
                await Purge(session, GONE, after).run()
            except BrokenOff:
                assert max(told) <= 60
                continue
            break
    assert last > 3
    assert await counted(filled, GONE) == {**dict.fromkeys(TABLES, 0), "correction": before["correction"]}


async def test_a_page_that_another_holds_is_waited_for_a_bounded_time_and_the_purge_is_given_up_whole(
    session: Session, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "_ATTEMPTS", 2)
    async with session.transaction():
        await session.execute("INSERT INTO page (wiki_id, page_id) SELECT 'gonewiki', generate_series(1, 9)")
    limits = Limits(lock=0.2, statement=5.0)
    async with session.transaction(), await connect(database_url, limits=limits) as other:
        await session.fetch("SELECT FROM page WHERE page_id = 5 FOR UPDATE")
        with pytest.raises(DatabaseUnavailable, match="55P03"):
            await Purge(other, "gonewiki", lambda _rows: None).run()
    assert (await count_rows(session, "gonewiki"))["page"] == 9
    await Purge(session, "gonewiki", lambda _rows: None).run()
    assert (await count_rows(session, "gonewiki"))["page"] == 0


@pytest.mark.parametrize(
    ("wikis", "scope", "still"),
    [(["a", "b"], ["b", "c"], ["b"]), (["a"], [], ["a"]), (["a"], ["b"], [])],
)
def test_an_empty_scope_has_every_wiki(wikis: list[str], scope: list[str], still: list[str]) -> None:
    assert in_scope(wikis, scope) == still
