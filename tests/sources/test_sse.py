"""Server-sent events framing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wikimirror.sources.sse import Frame, Frames, Lines

LIMIT = 10_000


def lines(*chunks: bytes, limit: int = LIMIT) -> list[bytes]:
    cut = Lines(limit)
    found = [line for chunk in chunks for line in cut.feed(chunk)]
    last = cut.close()
    return found if last is None else [*found, last]


def frames(text: bytes) -> list[Frame]:
    reader = Frames(LIMIT)
    return [frame for line in lines(text) if (frame := reader.line(line)) is not None]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_lines_end_at_lf_cr_and_crlf(end: bytes) -> None:
    assert lines(end.join([b"one", b"", b"two", b""])) == [b"one", b"", b"two"]


def test_a_crlf_cut_in_half_is_one_end() -> None:
    assert lines(b"one\r", b"\ntwo\r", b"three") == [b"one", b"two", b"three"]


@given(st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n", b""]), max_size=20), st.data())
def test_lines_do_not_depend_on_how_the_bytes_are_cut(pieces: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(pieces)
    at = data.draw(st.integers(0, len(whole)))

    assert lines(whole[:at], whole[at:]) == lines(whole) == whole.splitlines()


def test_an_endless_line_is_held_up_to_the_limit() -> None:
    assert lines(b"x" * 8, b"x" * 8, b"x" * 8 + b"\nnext\n", limit=10) == [b"x" * 11, b"next"]
    assert lines(b"x" * 10 + b"\n", limit=10) == [b"x" * 10]


def test_a_frame_has_type_data_and_the_last_id() -> None:
    text = b'event: message\nid: [{"offset":1}]\ndata: {"a":1}\n\ndata:{"b":2}\n\n'

    assert frames(text) == [
        Frame("message", b'{"a":1}', '[{"offset":1}]'),
        Frame("message", b'{"b":2}', '[{"offset":1}]'),
    ]


def test_data_over_several_lines_is_joined_by_line_feeds() -> None:
    assert frames(b"data: one\ndata:  two\ndata\n\n") == [Frame("message", b"one\n two\n", None)]


def test_comments_unknown_fields_and_frames_without_data_are_nothing() -> None:
    assert frames(b":ok\n\nevent: ping\n\nretry: 5\nfoo: bar\nid: 7\n\n") == []


def test_an_empty_data_field_is_a_frame_with_empty_data() -> None:
    assert frames(b"data\n\n") == [Frame("message", b"", None)]


def test_the_type_does_not_outlive_its_frame() -> None:
    assert [frame.type for frame in frames(b"event: error\ndata: 1\n\ndata: 2\n\n")] == ["error", "message"]


def test_an_id_with_nul_is_not_taken() -> None:
    assert frames(b"id: 1\nid: 2\x00\ndata: x\n\n") == [Frame("message", b"x", "1")]


@pytest.mark.parametrize("values", [[b"x" * 30], [b"x" * 8] * 4, [b""] * 40, [b"x" * 10, b""], [b"x" * 9, b"", b""]])
def test_data_over_the_limit_is_held_up_to_the_limit_and_a_byte(values: list[bytes]) -> None:
    reader = Frames(10)
    for value in values:
        reader.line(b"data:" + value)
    frame = reader.close()

    assert frame is not None
    assert frame.data == b"\n".join(values)[:11]
