"""Events with large values: whole for who reads them, and not copied for each watcher."""

from __future__ import annotations

import json

import pytest
from buntime_keyval.wire import encode_key
from buntime_plugin_keyval.features.watch.pending import LARGE, State
from buntime_plugin_keyval.requests.sse import frame_of_entries
from support.api import Api
from support.sse import event_stream

TEXT = "é" * LARGE


def state(number: int, value: str | bytes | None) -> State:
    return State(encode_key(["k", number]), value, "0190-stamp")


def data_of(frame: bytes) -> object:
    lines = frame.decode().split("\n")
    assert lines[0] == "event: change"
    assert lines[2:] == ["id: 7", "", ""]
    return json.loads(lines[1].removeprefix("data: "))


def entry(number: int, value: object) -> dict[str, object]:
    stamp = None if value is None else "0190-stamp"
    return {"key": ["k", number], "value": value, "versionstamp": stamp}


@pytest.mark.parametrize("given", [json.dumps(TEXT, ensure_ascii=False), f'"{TEXT}"'.encode()])
def test_a_large_value_is_a_piece_that_all_share(given: str | bytes) -> None:
    large, small, gone = state(1, given), state(2, "2"), state(3, None)
    frames = [
        frame_of_entries("change", [one.pieces for one in (large, small, gone)], "7")
        for _ in range(2)
    ]
    first, second = frames
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    assert first[1] is second[1]
    assert first[1] is large.value
    assert data_of(b"".join(first)) == [entry(1, TEXT), entry(2, 2), entry(3, None)]


def test_several_large_values_are_one_piece() -> None:
    states = [state(number, json.dumps(TEXT)) for number in range(3)]
    frame = frame_of_entries("change", [one.pieces for one in states], "7")
    assert isinstance(frame, bytes)
    assert data_of(frame) == [entry(number, TEXT) for number in range(3)]


def test_small_ones_are_one_piece() -> None:
    frame = frame_of_entries("change", [state(1, "1").pieces, state(2, '"é"').pieces], "7")
    assert (
        frame
        == (
            'event: change\ndata: [{"key":["k",1],"value":1,"versionstamp":"0190-stamp"},'
            '{"key":["k",2],"value":"é","versionstamp":"0190-stamp"}]\nid: 7\n\n'
        ).encode()
    )


@pytest.mark.parametrize("sizes", [[70_000], [300_000, 1], [300_000, 200_000], [1_000_000] * 3])
def test_they_arrive_whole(api: Api, sizes: list[int]) -> None:
    values = ["ö" * size for size in sizes]
    mutations = [
        {"type": "set", "key": ["w", number], "value": value} for number, value in enumerate(values)
    ]
    query = {"prefix": "w"}
    with event_stream(api.base, "/watch/prefix", query=query | {"initial": "false"}) as stream:
        assert stream.next(pings=True)  # it watches
        for mutation in mutations:
            api.mutate(mutation)
        told: list[object] = []
        while len(told) < len(values):
            event = stream.next()
            assert event is not None
            if event.event == "change":
                told += [entry["value"] for entry in event.data]
        assert told == values
    with event_stream(api.base, "/watch/prefix", query=query) as stream:
        told = []
        while len(told) < len(values):
            event = stream.next()
            assert event is not None
            told += [entry["value"] for entry in event.data or ()]
        assert told == values
