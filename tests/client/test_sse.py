"""Event streams, however they are cut into chunks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from buntime_keyval._sse import EventParser, ServerEvent
from hypothesis import given
from hypothesis import strategies as st

STREAM = (
    b"\xef\xbb\xbf: comment\nevent: change\ndata: [\ndata:  1]\nid: 7\n\n"
    b"event: ping\ndata: \n\n"
    b"retry: 10\nid\nunknown: x\ndata:{}\n\n\n\n"
    b'id: 8\ndata: "\xc3\xa9\xf0\x9f\x99\x82"\n\n'
    b"event: change\ndata: unfinished\nid: 9\n"
)
EVENTS = [
    ServerEvent("change", b"[\n 1]", "7"),
    ServerEvent("ping", b"", "7"),
    ServerEvent("message", b"{}", ""),
    ServerEvent("message", '"é🙂"'.encode(), "8"),
]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@given(cuts=st.lists(st.integers(0, len(STREAM) + 40)))
def test_the_cuts_do_not_matter(line_end: bytes, cuts: list[int]) -> None:
    stream = STREAM.replace(b"\n", line_end)
    parser = EventParser()
    events = []
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, end in pairwise(places):
        events += parser.feed(stream[start:end])
    assert events == EVENTS
    assert parser.last_id == "8", "the id of an unfinished event does not count"


def test_byte_by_byte() -> None:
    for line_end in (b"\n", b"\r\n", b"\r"):
        parser = EventParser()
        stream = STREAM.replace(b"\n", line_end)
        assert [e for byte in stream for e in parser.feed(bytes((byte,)))] == EVENTS
