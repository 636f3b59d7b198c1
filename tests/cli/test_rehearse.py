from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Program
from wikimirror.rehearsal import day_to_ndjson, simulate_day

# Registers and stamps say one thing in two ways, depending on what came in one batch: P2 is about what people see.
INNER = "'{registers,stamp_clock,stamp_time,stamp_id}'::text[]"
DIGEST = f"""
SELECT (SELECT md5(string_agg((to_jsonb(p) - {INNER})::text, ',' ORDER BY wiki_id, page_id)) FROM page p) AS pages,
       (SELECT md5(string_agg((to_jsonb(r) - {INNER})::text, ',' ORDER BY wiki_id, rev_id)) FROM revision r) AS revs,
       (SELECT md5(string_agg(b::text, ',' ORDER BY wiki_id, rev_id, format)) FROM body b) AS bodies
"""


@pytest.fixture(scope="session")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("captures") / "day.ndjson"
    path.write_bytes(b"".join(day_to_ndjson(simulate_day(3, 300))))
    return path


def test_a_demo_ends_with_every_situation_and_no_difference_and_can_be_looked_into(
    run: Program, tmp_path: Path
) -> None:
    state = {"XDG_STATE_HOME": str(tmp_path)}
    done = run("demo", "--seed", "1", "--actions", "1200", "--json", env=state)
    assert done.code == 0, done.err
    report = done.document
    assert report["differences"] == []
    assert report["forbidden_found"] == 0
    assert all(report["situations"].values())
    play = report["play"]
    told = sum(sum(play[outcome].values()) for outcome in ("ignored", "applied", "refused", "set_aside"))
    assert play["read"] == told + play["in_flight"]
    assert report["compared"]["page"] > 0

    counted = run("sql", "SELECT count(*) FROM page", "--json", env=state)
    assert counted.document["rows"][0][0] >= report["compared"]["page"]
    assert "wikimirror" in report["look_inside"]


def test_a_demo_starts_from_an_empty_database_each_time_and_the_same_seed_is_the_same_day(
    run: Program, tmp_path: Path
) -> None:
    state = {"XDG_STATE_HOME": str(tmp_path)}
    first, second = (run("demo", "--seed", "5", "--actions", "30", "--json", env=state) for _ in range(2))
    assert first.code == second.code == 1, "a day of 30 actions lacks situations, and that is a failure"
    for document in (reports := [first.document, second.document]):
        # How often something was read again depends on where connections were cut.
        del document["play"], document["freshness"], document["upstream"]
    assert reports[0] == reports[1]


def test_a_demo_tells_a_person_the_same(run: Program, tmp_path: Path) -> None:
    done = run("demo", "--seed", "1", "--actions", "30", env={"XDG_STATE_HOME": str(tmp_path)})
    assert done.code == 1
    assert "  0 differences\n" in done.out
    assert "none!" in done.out
    assert 'wikimirror sql --schema demo "SELECT' in done.out


def test_a_demo_over_kafka_needs_a_kafka_and_says_how_to_get_one(run: Program, tmp_path: Path) -> None:
    state = {"XDG_STATE_HOME": str(tmp_path), "WIKIMIRROR_KAFKA_HOME": str(tmp_path / "none"), "KAFKA_BOOTSTRAP": ""}
    done = run("demo", "--source", "kafka", "--json", env=state)
    assert done.code == 2
    said = done.document["error"]
    assert said["kind"] == "ConfigurationError"
    for needed in ("make kafka", "Java 17", "Maven", "KAFKA_BOOTSTRAP=host:port"):
        assert needed in said["remedy"]
    assert not (tmp_path / "wikimirror").exists(), "nothing was started for it"


def test_what_is_played_and_a_demo_are_kept_apart(run: Program, capture: Path, tmp_path: Path) -> None:
    state = {"XDG_STATE_HOME": str(tmp_path)}
    run("demo", "--seed", "1", "--actions", "10", env=state)
    pages = "SELECT count(*) FROM page"
    rehearsed = run("sql", pages, "--json", env=state).document["rows"]
    assert run("play", str(capture), env=state).code == 0
    assert run("sql", "--schema", "demo", pages, "--json", env=state).document["rows"] == rehearsed
    assert run("sql", pages, "--json", env=state).document["rows"] != rehearsed


def test_a_demo_leaves_a_mirror_of_yours_alone_but_takes_a_schema_of_its_own(run: Program, database_url: str) -> None:
    refused = run("demo", "--actions", "10", "--postgres", database_url)
    assert refused.code == 1
    assert "holds a mirror already" in refused.err
    done = run("demo", "--actions", "10", "--postgres", database_url, "--schema", "my rehearsal", "--json")
    assert done.code == 1, "a day of 10 actions lacks situations"
    assert done.document["differences"] == []
    assert run("sql", "SELECT count(*) FROM page", "--postgres", database_url, "--json").document["rows"] == [[0]]


async def test_playing_again_or_shuffled_or_gzipped_changes_nothing(
    run: Program, capture: Path, make_database: Callable[..., Awaitable[str]], tmp_path: Path
) -> None:
    lines = capture.read_bytes().splitlines(keepends=True)
    random.Random(1).shuffle(lines)
    shuffled = tmp_path / "shuffled.ndjson.gz"
    shuffled.write_bytes(gzip.compress(b"".join(lines)))

    digests = []
    url, other = await make_database(empty=True), await make_database(empty=True)
    for target, file in ((url, capture), (url, capture), (url, shuffled), (other, shuffled)):
        done = run("play", str(file), "--json", "--postgres", target)
        assert done.code == 0, done.err
        assert done.document["read"] == len(lines)
        assert done.document["set_aside"] == {}
        digests.append(run("sql", DIGEST, "--json", "--postgres", target).document["rows"])
    assert digests == [digests[0]] * 4


def test_play_migrates_an_empty_database_and_counts_every_record(run: Program, capture: Path, tmp_path: Path) -> None:
    state = {"XDG_STATE_HOME": str(tmp_path)}
    done = run("play", str(capture), env=state)
    assert done.code == 0
    assert "unaccounted for  0\n" in done.out
    assert run("sql", "SELECT count(*) > 0 FROM page", "--json", env=state).document["rows"] == [[True]]


def test_two_files_of_one_name_are_two(run: Program, capture: Path, tmp_path: Path, database_url: str) -> None:
    copy = tmp_path / capture.name
    copy.write_bytes(capture.read_bytes())
    done = run("play", str(capture), str(copy), "--json", "--postgres", database_url)
    assert done.code == 0
    assert done.document["files"] == [str(capture), str(copy)]
    topics = run("sql", "SELECT count(*) FROM checkpoint", "--json", "--postgres", database_url)
    assert topics.document["rows"] == [[2]]


def test_a_file_that_is_not_there_is_told_before_anything_is_done(run: Program, capture: Path, tmp_path: Path) -> None:
    done = run("play", str(capture), str(tmp_path / "none"), "--json", env={"XDG_STATE_HOME": str(tmp_path)})
    assert done.code == 2
    assert "no such file" in done.document["error"]["message"]
    assert not (tmp_path / "wikimirror").exists()


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_leaves_and_takes_its_postgres_with_it(
    request: pytest.FixtureRequest, clean_environment: dict[str, str], tmp_path: Path, sign: signal.Signals, code: int
) -> None:
    program = Path(sys.executable).with_name("wikimirror")
    pipe = tmp_path / "endless"
    os.mkfifo(pipe)
    # A shell's background jobs ignore SIGINT, and so would their children: a handler here gives them the default.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with subprocess.Popen(
        [str(program), "play", str(pipe)],
        env={**clean_environment, "XDG_STATE_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        with pipe.open("wb"):  # returns once the program reads, so its Postgres runs
            pid_file = tmp_path / "wikimirror" / "demo" / "cluster" / "postmaster.pid"
            assert pid_file.exists()
            process.send_signal(sign)
            # At the pipe's end the program would be done, and right to end with 0: the signal must be there before.
            _wait_until_delivered(process.pid, sign)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert out == b""
    assert b"Traceback" not in err
    assert not pid_file.exists()


def _wait_until_delivered(pid: int, sign: signal.Signals) -> None:
    status = Path(f"/proc/{pid}/status")
    deadline = time.monotonic() + 30
    never = threading.Event()
    while status.exists():
        pending = (line.split()[1] for line in status.read_text().splitlines() if line.startswith(("SigPnd", "ShdPnd")))
        if not any(int(mask, 16) & 1 << (sign - 1) for mask in pending):
            return
        assert time.monotonic() < deadline, f"{sign.name} was not taken in 30 s"
        never.wait(0.01)
