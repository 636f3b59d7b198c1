"""What a pipeline holds in memory, and for how long (promise P6)."""

from __future__ import annotations

import asyncio
import gc
import json
from dataclasses import replace

import pytest

from tests.pipeline.scripted import LANE, SOURCE, Scripted, edits
from tests.wire.records import MAIN_SLOT, page_change, revision
from wikimirror.merge.law import Law
from wikimirror.merge.scope import Scope
from wikimirror.mirror.checkpoints import Held, take_over_all
from wikimirror.mirror.connect import connect
from wikimirror.model import Batch, Coordinates, Record
from wikimirror.observe.vitals import Vitals
from wikimirror.pipeline.assemble import Assembler
from wikimirror.pipeline.pipeline import Pipeline, Plan

PLAN = Plan(
    scope=Scope(), law=Law(), batch_records=500, batch_bytes=2**23, batch_age=0.005, memory=2**25, longest_pause=0.05
)


def with_text(text: str) -> Record:
    said = page_change(revision=revision(content_slots={"main": {**MAIN_SLOT, "content_body": text}}))
    return Record(Coordinates(*LANE, 0), json.dumps(said, ensure_ascii=False).encode(), 1, 1)


@pytest.mark.parametrize(("wide", "full"), [("", False), ("\N{OPEN BOOK}", True)])
def test_a_batch_is_full_by_its_texts_as_memory_holds_them_four_times_as_large_for_one_wide_character(
    wide: str, *, full: bool
) -> None:
    assembler = Assembler({LANE: Held(1, 0)}, Scope(), records=500, size=3_000_000)
    assembler.add(with_text(wide + "x" * 1_000_000))
    assert assembler.is_full is full


async def test_nothing_of_a_batch_is_held_once_it_is_durable(database_url: str) -> None:
    source, vitals = Scripted([[*edits(0, 30)]]), Vitals(SOURCE)
    pipeline = Pipeline(source, lambda: connect(database_url), replace(PLAN, batch_records=10), vitals, lambda _: None)
    async with await connect(database_url) as session:
        held = await take_over_all(session, await source.starting_positions(), "test")
    running = asyncio.create_task(pipeline.run(held))
    await source.until_applied(30)
    # The task that applied the last batch goes on to wait for the next. Other tests may have left garbage.
    await asyncio.sleep(0)
    gc.collect()

    assert not [thing for thing in gc.get_objects() if isinstance(thing, Batch)]
    pipeline.drain()
    await running
