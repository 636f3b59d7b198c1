"""What a person does with records that were set aside: look, put back, discard. Nothing of it can make things worse."""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec
import pytest

from tests.mirror.lanes import Written, blocked, everywhere, rows, value
from tests.ops.letters import (
    NO_PAGES,
    RULE,
    SOURCE,
    TOPIC,
    Shelf,
    everything,
    forbid,
    mend,
    offsets,
    outcomes,
    redrive,
    said,
    stage,
)
from tests.wire.records import NOTHING_VISIBLE, Json, page, revision
from wikimirror.errors import DatabaseUnavailable, SourceRefused, SourceUnavailable, WikimirrorError
from wikimirror.mirror.connect import Limits, Session, connect
from wikimirror.mirror.letters import Filter
from wikimirror.model import MICROSECONDS
from wikimirror.ops.letters import work as dead_letters
from wikimirror.ops.letters.work import discard, list_letters, plan_discard, show_letter, traces

BROKEN = b'{"meta": {"stream": "mediawiki.page_change.v1"}, "page_change_kind": "edit", "wiki_id": '


async def letter_of(session: Session, offset: int) -> int:
    found = await value(session, 'SELECT dead_letter_id FROM dead_letter WHERE "offset" = $1', offset)
    assert isinstance(found, int)
    return found


# Looking


async def test_letters_are_listed_newest_last_with_all_that_tells_where_and_why(session: Session) -> None:
    await forbid(session, NO_PAGES)
    lane = await stage(session, said(900))
    await stage(session, BROKEN, lane=lane)
    report = await list_letters(session, Filter(), 50)
    first, second = report.letters
    assert report.more == 0
    assert str(first.at) == f"{SOURCE} {TOPIC}[0]@0"
    assert (first.reason, first.sqlstate, first.constraint_name) == ("sqlstate_23514", "23514", RULE)
    assert (first.wiki_id, first.page_id, first.rev_id, first.seen) == ("xxwiki", 900, 5001, 1)
    assert (first.payload_kept, first.retracts, first.hidden) == (True, False, False)
    assert first.first_seen <= first.last_seen
    assert (second.reason, second.payload_kept, second.page_id) == ("not_json", False, None)


async def test_a_list_shows_the_newest_and_says_how_many_more_there_are(session: Session) -> None:
    lane = await stage(session, BROKEN, BROKEN)
    await lane.read(BROKEN)
    report = await list_letters(session, Filter(), 2)
    assert [letter.offset for letter in report.letters] == [1, 2]
    assert report.more == 1


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        (Filter(reason="not_json"), [1]),
        (Filter(source=SOURCE), [0, 1, 2]),
        (Filter(source="another"), []),
        (Filter(topic="another"), []),
        (Filter(topic=TOPIC, partition=0), [0, 1, 2]),
        (Filter(partition=1), []),
        (Filter(wiki="xxwiki"), [0, 2]),
        (Filter(wiki="xxwiki", page=900), [0]),
        (Filter(page=901, reason="sqlstate_23514"), [2]),
        (Filter(retractions=True), [2]),
        (Filter(ids=(2**62,)), []),
    ],
)
async def test_a_filter_means_the_letters_that_fit_all_of_it(
    session: Session, chosen: Filter, found: list[int]
) -> None:
    await forbid(session, NO_PAGES)
    await stage(session, said(900), BROKEN, said(901, kind="delete"))
    assert sorted(letter.offset for letter in (await list_letters(session, chosen, 50)).letters) == found


async def test_a_letter_shows_the_record_as_far_as_it_is_kept(session: Session) -> None:
    await forbid(session, NO_PAGES)
    await stage(session, said(900, comment="why it was done"))
    report = await show_letter(session, await letter_of(session, 0))
    assert report.without is None
    assert report.payload["page"]["page_title"] == "Talk:Page_900"
    assert "comment" not in report.payload


async def test_a_letter_without_its_record_says_why_and_how_redriving_gets_it(session: Session) -> None:
    await forbid(session, NO_PAGES)
    await stage(session, BROKEN, said(901, kind="delete", revision=revision(**NOTHING_VISIBLE)))
    unread = await show_letter(session, await letter_of(session, 0))
    assert unread.payload is None
    assert "page and revision are not known" in (unread.without or "")
    assert f"redrive {unread.letter.dead_letter_id} reads the record again from {SOURCE}" in (unread.without or "")
    taking = await show_letter(session, await letter_of(session, 1))
    assert "takes something away" in (taking.without or "")


async def test_a_letter_that_is_not_there_is_an_error_with_a_remedy(session: Session) -> None:
    with pytest.raises(WikimirrorError, match="no dead letter 7") as told:
        await show_letter(session, 7)
    assert "dead-letters list" in told.value.remedy


# Putting back


async def test_once_what_refused_it_is_mended_a_letter_is_applied_from_its_payload_and_goes(session: Session) -> None:
    await forbid(session, NO_PAGES)
    await stage(session, said(900))
    positions = await rows(session, "SELECT * FROM checkpoint")
    await mend(session)
    report = await redrive(session)
    assert outcomes(report) == [("applied", "edit")]
    assert report.exit_code == 0
    assert await offsets(session) == []
    assert await rows(session, "SELECT page_id, title, rev_id FROM page") == [(900, "Talk:Page 900", 5001)]
    assert await rows(session, 'SELECT source, topic, "offset", outcome FROM change') == [(SOURCE, TOPIC, 0, "applied")]
    assert await rows(session, "SELECT * FROM checkpoint") == positions


async def test_what_still_fails_stays_is_counted_and_keeps_the_hash_of_what_was_read(session: Session) -> None:
    await forbid(session, NO_PAGES)
    await stage(session, said(900, comment="not kept"))
    before = await rows(session, "SELECT payload, payload_sha256, first_seen, published FROM dead_letter")
    for _ in range(2):
        report = await redrive(session)
        (redriven,) = report.letters
        assert (redriven.outcome, redriven.why, redriven.sqlstate) == ("still_fails", "sqlstate_23514", "23514")
        assert redriven.constraint_name == RULE
        assert report.exit_code == 3
    assert await rows(session, "SELECT payload, payload_sha256, first_seen, published FROM dead_letter") == before
    assert await rows(session, "SELECT seen, last_seen > first_seen FROM dead_letter") == [(3, True)]


async def test_a_record_whose_letter_has_nothing_is_read_again(session: Session) -> None:
    await forbid(session, NO_PAGES)
    shelf = Shelf(BROKEN, said(900))
    await stage(session, *(value for value in shelf.values if value is not None))
    async with session.transaction():
        await session.execute("UPDATE dead_letter SET payload = NULL")
    await mend(session)
    report = await redrive(session, shelf)
    assert outcomes(report) == [("still_fails", "not_json"), ("applied", "edit")]
    assert (shelf.built, shelf.read_so_far) == (1, 2)
    assert await rows(session, 'SELECT "offset", seen FROM dead_letter') == [(0, 2)]


async def test_letters_go_in_the_order_in_which_they_were_read(session: Session) -> None:
    await forbid(session, NO_PAGES)
    records = [said(900, 5003), said(900, 5001), said(900, 5002)]
    await stage(session, *records)
    async with session.transaction():
        await session.execute('UPDATE dead_letter SET dead_letter_id = DEFAULT WHERE "offset" = 0')
    await mend(session)
    report = await redrive(session)
    assert [each.where[-1] for each in report.letters] == ["0", "1", "2"]
    assert await value(session, "SELECT rev_id FROM page") == 5003


async def test_what_the_mirror_has_got_meanwhile_is_stale_and_the_letter_goes(session: Session) -> None:
    await forbid(session, NO_PAGES)
    lane = await stage(session, said(900))
    await mend(session)
    await stage(session, said(900), lane=lane)
    assert outcomes(await redrive(session)) == [("stale", "duplicate")]
    assert await offsets(session) == []
    assert await value(session, "SELECT count(*) FROM change") == 1


@pytest.mark.parametrize("dry_run", [True, False])
async def test_what_was_deleted_meanwhile_does_not_come_back(session: Session, *, dry_run: bool) -> None:
    await forbid(session, NO_PAGES)
    secret = said(900, revision=revision(comment="a secret"))
    lane = await stage(session, secret)
    await mend(session)
    gone = said(900, 5001, "delete", dt="2025-03-02T08:00:00Z", revision=revision(**NOTHING_VISIBLE))
    await stage(session, gone, lane=lane)
    assert await value(session, "SELECT payload FROM dead_letter") is None
    report = await redrive(session, Shelf(secret), dry_run=dry_run)
    assert outcomes(report) == [("stale", "deleted")]
    assert await everywhere(session, ["a secret", "Talk:Page 900"]) == set()
    assert await offsets(session) == ([0] if dry_run else [])


async def test_a_record_outside_of_what_is_mirrored_now_is_ignored_and_goes(session: Session) -> None:
    await forbid(session, NO_PAGES)
    await stage(session, said(900))
    report = await redrive(session, Shelf(said(900)), wikis=("enwiki",))
    assert outcomes(report) == [("ignored", "out_of_scope")]
    assert await offsets(session) == []


async def test_a_page_that_moved_away_leaves_though_its_payload_does_not_tell_from_where(session: Session) -> None:
    here = page(page_id=900, page_title="Page", namespace_id=0)
    lane = await stage(session, said(900, 5000, page=here))
    assert await value(session, "SELECT state FROM page") == "live"
    moved = said(
        900, 5001, "move", dt="2025-03-01T11:00:00Z", prior_state={"page": {"page_title": "Page", "namespace_id": 0}}
    )
    await forbid(session, NO_PAGES)
    await stage(session, moved, lane=lane)
    assert await value(session, "SELECT payload IS NOT NULL FROM dead_letter")
    await mend(session)
    report = await redrive(session, Shelf(None, moved), namespaces=(0,))
    assert outcomes(report) == [("applied", "move")]
    assert await value(session, "SELECT state FROM page") == "vacated"


async def test_what_takes_away_is_read_again_whole_even_where_a_payload_is_kept(session: Session) -> None:
    """The payload is without `prior_state`: what a neighbour hides there would be lost."""
    lane = await stage(session, said(900, 5000, revision=revision(5000, comment="a secret")))
    hidden = revision(5000, comment=None, editor=None, **NOTHING_VISIBLE)
    record = said(900, 5001, dt="2025-03-01T11:00:00Z", prior_state={"revision": hidden})
    await forbid(session, NO_PAGES)
    await forbid(session, "rev_id NOT BETWEEN 5000 AND 5001", "revision")
    await stage(session, record, lane=lane)
    assert await rows(session, "SELECT retracts, hidden FROM dead_letter") == [(True, False)]
    assert outcomes(await redrive(session)) == [("unavailable", f"the settings have no source {SOURCE}. Name another.")]
    await mend(session)
    await mend(session, "revision")
    assert await everywhere(session, ["a secret"]) == {"a secret"}
    report = await redrive(session, Shelf(None, record))
    assert outcomes(report) == [("applied", "edit")]
    assert await everywhere(session, ["a secret"]) == set()


async def test_a_retraction_that_fails_again_hides_no_more_than_it_did_at_first(session: Session) -> None:
    lane = await stage(session, said(900, 5000))
    # Without a time that its transport tells, it hides the page as of its receipt.
    broken = said(900, 5000, "delete", dt=None, meta={**said(900)["meta"], "dt": None})
    await stage(session, broken, lane=lane)
    assert await rows(session, "SELECT retracts, hidden FROM dead_letter") == [(True, True)]
    later = await value(
        session, "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 hour', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    )
    await stage(session, said(900, 5002, dt=later, revision=revision(5002, rev_dt=later)), lane=lane)
    shown = await rows(session, "SELECT state, rev_id FROM page")
    assert shown == [("live", 5002)]
    shelf = Shelf(None, broken)
    shelf.later = 2 * 3600 * MICROSECONDS
    report = await redrive(session, shelf)
    assert [each.outcome for each in report.letters] == ["still_fails"]
    assert await rows(session, "SELECT state, rev_id FROM page") == shown
    assert await rows(session, "SELECT seen, hidden FROM dead_letter") == [(2, True)]


# Records that cannot be had


@pytest.mark.parametrize(
    ("shelf", "why"),
    [
        (Shelf(None), "does not have it any more"),
        (Shelf(b"something else"), "another record there now: its sha256 is"),
        (Shelf(BROKEN + b" " * (21 * 2**20)), "record_bytes"),
        (Shelf(BROKEN, name="elsewhere"), "no source test"),
    ],
    ids=["gone", "other bytes", "too large", "not in the settings"],
)
@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_record_that_cannot_be_had_says_why_and_its_letter_stays(
    session: Session, shelf: Shelf, why: str, *, dry_run: bool
) -> None:
    await stage(session, BROKEN)
    before = await everything(session)
    report = await redrive(session, shelf, dry_run=dry_run)
    ((outcome, told),) = outcomes(report)
    assert outcome == "unavailable"
    assert why in (told or "")
    assert report.exit_code == 1
    assert await everything(session) == before


async def test_a_source_that_is_away_is_asked_once_and_one_that_refuses_for_each(session: Session) -> None:
    await stage(session, BROKEN, BROKEN, BROKEN)
    shelf = Shelf(BROKEN, BROKEN, BROKEN)
    shelf.fault = SourceUnavailable("it answered 503")
    report = await redrive(session, shelf)
    assert outcomes(report) == [("unavailable", "it answered 503")] * 3
    assert shelf.read_so_far == 1
    shelf.fault = SourceRefused("its time is not known", remedy="Replay the time around it.")
    report = await redrive(session, shelf)
    assert outcomes(report) == [("unavailable", "its time is not known. Replay the time around it.")] * 3
    assert shelf.read_so_far == 4


# Dry runs


async def test_a_dry_run_tells_what_the_redrive_then_does_and_writes_nothing(session: Session) -> None:
    await forbid(session, "page_id NOT IN (900, 901, 902)")
    records: list[Json | bytes] = [
        said(900), BROKEN, said(901), said(902, revision=revision(comment="a\x00b")), said(901, 5002),
        said(900, 5001, "delete", dt="2025-03-02T08:00:00Z"), said(900, 5001, meta={**said(900)["meta"], "id": "late"}),
    ]  # fmt: skip
    lane = await stage(session, *records)
    await mend(session)
    await stage(session, said(901), lane=lane)
    shelf = Shelf(*records)
    before = await everything(session)
    tried = await redrive(session, shelf, dry_run=True)
    assert await everything(session) == before
    assert tried.dry_run
    done = await redrive(session, shelf)
    assert outcomes(tried) == outcomes(done)
    assert [(each.dead_letter_id, each.sqlstate) for each in tried.letters] == [
        (each.dead_letter_id, each.sqlstate) for each in done.letters
    ]
    assert tried.counts == done.counts
    assert {"applied", "stale", "still_fails"} <= tried.counts.keys()
    assert await offsets(session) == [1, 3]


async def test_a_dry_run_of_many_letters_holds_the_records_of_a_part_at_a_time(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "_AT_ONCE", 2)
    await forbid(session, NO_PAGES)
    await stage(session, *(said(900 + number) for number in range(5)))
    await mend(session)
    before = await everything(session)
    assert outcomes(await redrive(session, dry_run=True)) == [("applied", "edit")] * 5
    assert await everything(session) == before


async def test_a_report_names_so_many_letters_and_counts_all(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "_TOLD", 2)
    await stage(session, BROKEN, BROKEN, BROKEN)
    report = await redrive(session, Shelf(BROKEN, BROKEN, BROKEN), dry_run=True)
    assert (len(report.letters), report.more, report.counts) == (2, 1, {"still_fails": 3})


# Several at once


async def test_letters_that_are_not_there_are_told(session: Session) -> None:
    report = await redrive(session, chosen=Filter(ids=(7,)))
    assert [(each.dead_letter_id, each.outcome) for each in report.letters] == [(7, "gone")]
    assert report.exit_code == 0


@pytest.mark.parametrize("mended", [True, False])
async def test_of_two_who_redrive_one_letter_one_applies_it_and_the_other_finds_it_gone(
    session: Session, database_url: str, *, mended: bool
) -> None:
    lane = await stage(session, said(900, 5000))
    await forbid(session, "rev_id <> 5001", "revision")
    await stage(session, said(900, 5001), lane=lane)
    if mended:
        await mend(session, "revision")
    async with await connect(database_url) as one, await connect(database_url) as other:
        async with session.transaction():
            await session.execute("SELECT FROM page FOR UPDATE")
            redriving = [asyncio.create_task(redrive(each)) for each in (one, other)]
            async with await connect(database_url) as watcher:
                while await value(watcher, "SELECT count(*) FROM pg_locks WHERE NOT granted") < 2:
                    await blocked(watcher)
        reports = await asyncio.gather(*redriving)
    found = Counter(outcome for report in reports for outcome, _ in outcomes(report))
    if mended:
        assert found == {"applied": 1, "gone": 1}
        assert await offsets(session) == []
        assert await value(session, "SELECT count(*) FROM change WHERE rev_id = 5001") == 1
    else:
        assert found == {"still_fails": 2}
        assert await value(session, "SELECT seen FROM dead_letter") == 3


async def test_many_who_redrive_all_letters_apply_each_once_and_do_not_deadlock(
    session: Session, database_url: str
) -> None:
    await forbid(session, NO_PAGES)
    await stage(session, *(said(900 + number % 20, 5000 + number) for number in range(60)))
    await mend(session)
    sessions = [await connect(database_url) for _ in range(3)]
    try:
        reports = await asyncio.gather(*(redrive(each) for each in sessions))
    finally:
        for each in sessions:
            await each.close()
    found = Counter(outcome for report in reports for outcome, _ in outcomes(report))
    assert found["applied"] + found["stale"] == 60
    assert found.keys() <= {"applied", "stale", "gone"}
    assert await offsets(session) == []
    assert await value(session, "SELECT count(*) FROM change") == 60


async def test_where_postgres_is_not_there_it_ends_and_the_letter_is_as_it_was(
    session: Session, database_url: str
) -> None:
    await forbid(session, NO_PAGES)
    await stage(session, said(900))
    await mend(session)
    before = await everything(session)
    async with await connect(database_url, limits=Limits(lock=0.1)) as impatient, session.transaction():
        await session.execute("LOCK TABLE page IN EXCLUSIVE MODE")
        with pytest.raises(DatabaseUnavailable):
            await redrive(impatient)
    assert await everything(session) == before


# Discarding


async def test_a_discard_deletes_what_its_plan_shows_and_can_tell_each_afterwards(session: Session) -> None:
    await stage(session, BROKEN, BROKEN)
    plan = await plan_discard(session, Filter(ids=(await letter_of(session, 1),)))
    assert plan.dry_run
    assert await offsets(session) == [0, 1]
    report = await discard(session, plan)
    assert await offsets(session) == [0]
    (trace,) = traces(report.letters)
    assert (trace["at"], trace["reason"]) == (f"{SOURCE} {TOPIC}[0]@1", "not_json")
    assert len(str(trace["sha256"])) == 64


async def test_a_filter_leaves_letters_that_take_something_away_and_a_number_does_not(session: Session) -> None:
    await forbid(session, NO_PAGES)
    await stage(session, said(900), said(901, kind="delete"))
    plan = await plan_discard(session, Filter(wiki="xxwiki"))
    assert ([letter.offset for letter in plan.letters], plan.retracting) == ([0], 1)
    plan = await plan_discard(session, Filter(retractions=True))
    assert (plan.letters, plan.retracting) == ([], 1)
    plan = await plan_discard(session, Filter(ids=(await letter_of(session, 1),)))
    assert ([letter.offset for letter in plan.letters], plan.retracting) == ([1], 0)


async def test_a_letter_that_somebody_works_on_is_left_and_told(session: Session, database_url: str) -> None:
    await stage(session, BROKEN, BROKEN)
    plan = await plan_discard(session, Filter(reason="not_json"))
    async with await connect(database_url) as other, other.transaction():
        await other.execute('SELECT FROM dead_letter WHERE "offset" = 0 FOR UPDATE')
        report = await discard(session, plan)
    assert [letter.offset for letter in report.letters] == [1]
    assert report.busy == [await letter_of(session, 0)]


async def test_a_discard_takes_so_many_and_says_how_many_are_left(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "DISCARDED_AT_ONCE", 2)
    await stage(session, BROKEN, BROKEN, BROKEN)
    plan = await plan_discard(session, Filter(reason="not_json"))
    assert ([letter.offset for letter in plan.letters], plan.more, plan.busy) == ([0, 1], 1, [])


async def test_a_payload_that_is_shown_is_what_is_kept_and_no_more(session: Session) -> None:
    await forbid(session, NO_PAGES)
    lane = await Written.to(session, TOPIC)
    await lane.read(said(900, performer={"user_text": "Who did it"}, prior_state={"page": {"page_title": "Old"}}))
    report = await show_letter(session, await letter_of(session, 0))
    assert not {"performer", "prior_state"} & report.payload.keys()
    assert report.letter.payload_sha256 is not None
    assert msgspec.json.encode(report.payload)
