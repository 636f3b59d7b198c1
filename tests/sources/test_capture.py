"""Records cut out of captures, whatever their format and however their bytes arrive."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wikimirror.sources.capture import Capture

ONE: dict[str, Any] = {"$schema": "/a/1.0.0", "text": 'brackets ]}[{ and a \\" quote', "n": [1, {"x": []}]}
TWO: dict[str, Any] = {"meta": {"id": "2"}, "empty": {}}
THREE: dict[str, Any] = {"meta": {"id": "3"}}
ALL = [ONE, TWO, THREE]


def cut(*chunks: bytes, limit: int = 100_000) -> list[bytes]:
    capture = Capture(limit)
    found = [value for chunk in chunks for value in capture.feed(chunk)]
    return [*found, *capture.close()]


def objects(*chunks: bytes) -> list[Any]:
    return [json.loads(value) for value in cut(*chunks)]


def line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def sse(value: dict[str, Any], end: str = "\n") -> bytes:
    return end.join(["event: message", 'id: [{"offset":4}]', f"data: {json.dumps(value)}", "", ""]).encode()


FORMATS = {
    "NDJSON": b"\n".join(map(line, ALL)),
    "NDJSON with CRLF and blank lines": b"\r\n\r\n".join(map(line, ALL)) + b"\r\n \r\n",
    "SSE": b":ok\n\n" + b"".join(map(sse, ALL)),
    "SSE with CR": b"".join(sse(value, "\r") for value in ALL),
    "SSE with CRLF": b"".join(sse(value, "\r\n") for value in ALL),
    "SSE without an end": b"".join(map(sse, ALL))[:-1],
    "an array": json.dumps(ALL).encode(),
    "a pretty array": json.dumps(ALL, indent=2).encode() + b"\n",
    "an array of one line each": b"[\n" + b",\n".join(map(line, ALL)) + b"\n]\n",
    "pretty objects": b"\n".join(json.dumps(value, indent=2).encode() for value in ALL),
    "pretty objects without indentation": b"\n".join(json.dumps(value, indent=0).encode() for value in ALL),
    "wrapped objects": b"\n".join(line({"id": [1], "data": value}) for value in ALL),
    "wrapped text": b"\n".join(line({"data": json.dumps(value), "id": "[]"}) for value in ALL),
    "an array of wrapped objects": json.dumps([{"id": [], "data": value} for value in ALL]).encode(),
    "several formats": line(ONE) + b"\n" + sse(TWO) + json.dumps(THREE, indent=1).encode() + b"\n",
    "an array and then lines": json.dumps([ONE]).encode() + b"\n" + line(TWO) + b"\n" + line(THREE),
}


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_recognised_by_content(name: str, bom: bytes) -> None:
    assert objects(bom + FORMATS[name]) == ALL


@pytest.mark.parametrize("name", FORMATS)
def test_records_do_not_depend_on_how_the_bytes_are_cut(name: str) -> None:
    text = b"\xef\xbb\xbf" + FORMATS[name]

    assert objects(*[text[at : at + 1] for at in range(len(text))]) == ALL
    assert objects(*[text[at : at + 7] for at in range(0, len(text), 7)]) == ALL


@given(st.binary(max_size=200) | st.text('{}[]",:\\ \n\rdataid01', max_size=80).map(str.encode), st.data())
def test_whatever_the_bytes_their_cutting_does_not_matter(text: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))

    assert cut(text[:at], text[at:]) == cut(text)


def test_one_pretty_object_is_one_record() -> None:
    assert objects(json.dumps(ONE, indent=4).encode()) == [ONE]


def test_a_malformed_line_is_a_record_of_its_own_and_costs_no_other() -> None:
    whole = line(ONE)
    broken = [b"garbage", whole[:20], whole[:-1], b'{"a": 1,', b"{", b"[1, 2", b"}", b"null", b'"text"']

    for bad in broken:
        found = cut(whole + b"\n" + bad + b"\n" + line(TWO) + b"\n")
        assert found == [whole, bad, line(TWO)]


def test_a_record_cut_off_by_the_end_is_accounted_for() -> None:
    assert cut(line(ONE) + b"\n" + line(TWO)[:-4]) == [line(ONE), line(TWO)[:-4]]
    assert cut(sse(ONE) + b'data: {"half') == [line(ONE), b'{"half']
    assert cut(b"[" + line(ONE) + b", " + line(TWO)[:-4]) == [line(ONE), line(TWO)[:-4]]
    assert len(cut(json.dumps(ONE, indent=2).encode()[:-1])) == 1


def test_malformed_elements_of_an_array_are_records() -> None:
    assert cut(b'[{"a":1}, 5, , "x", [1, 2]]') == [b'{"a":1}', b"5", b"", b'"x"', b"[1, 2]"]


@pytest.mark.parametrize("nothing", [b"", b"\n\n", b"\xef\xbb\xbf", b" \r\n", b"[]", b"[ ]\n", b":ok\n\n:\n\n"])
def test_no_records_are_found_where_there_are_none(nothing: bytes) -> None:
    assert cut(nothing) == []


def test_a_frame_that_says_error_is_a_record_too() -> None:
    assert cut(b'event: error\ndata: {"message":"no"}\n\n') == [b'{"message":"no"}']


def test_only_a_wrapper_is_unwrapped() -> None:
    values: list[dict[str, Any]] = [
        {"data": {"a": 1}, "meta": {}},
        {"data": {"a": 1}, "$schema": "/x/1.0.0"},
        {"data": 5},
        {"data": []},
    ]

    assert [objects(line(value)) for value in values] == [[value] for value in values]


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": "' + b"x" * 500 + b'"}\n{"b": 1}\n',
        b'data: {"a": "' + b"x" * 500 + b'"}\n\ndata: {"b": 1}\n\n',
        b'[{"a": "' + b"x" * 500 + b'"}, {"b": 1}]',
        b'{\n"a": "' + b"x" * 500 + b'"\n}\n{"b": 1}\n',
    ],
    ids=["NDJSON", "SSE", "array", "pretty"],
)
def test_a_record_over_the_limit_is_cut_just_beyond_it_and_costs_no_other(text: bytes) -> None:
    for size in (1, 64, len(text)):
        found = cut(*[text[at : at + size] for at in range(0, len(text), size)], limit=100)

        assert [len(value) for value in found] == [101, 8]
        assert found[1] == b'{"b": 1}'
