"""Heads of answers that are remembered."""

from __future__ import annotations

import pytest
from buntime_plugin_proxy.upstream.known_heads import (
    LARGEST,
    LONGEST_KNOWN,
    MOST_KNOWN,
    TargetHeads,
)

HEADERS = [(b"content-length", b"2")]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


def test_what_has_come_before_is_known() -> None:
    heads = TargetHeads()
    assert heads.find(HEAD + b"ok") is None
    known = heads.learn(HEAD + b"ok", 200, HEADERS)
    assert known is not None
    assert (known.status, known.headers, known.length) == (200, HEADERS, 2)
    assert heads.find(HEAD + b"no") == (known, b"no")


@pytest.mark.parametrize(
    "data", [HEAD, HEAD + b"o", HEAD + b"okk", HEAD[:-2], HEAD.lower() + b"ok"]
)
def test_only_a_whole_answer_with_the_same_head_is(data: bytes) -> None:
    heads = TargetHeads()
    heads.learn(HEAD + b"ok", 200, HEADERS)
    assert heads.find(data) is None


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (HEAD + b"ok", []),
        (HEAD + b"ok", [*HEADERS, *HEADERS]),
        (HEAD + b"ok\r\n", HEADERS),
        (HEAD + b"ok", [(b"content-length", b"02")]),
        (b"a" * LONGEST_KNOWN + HEAD + b"ok", HEADERS),
        (HEAD + b"a" * LARGEST, [(b"content-length", b"%d" % LARGEST)]),
    ],
)
def test_what_cannot_be_told_by_its_head_is_not_learnt(
    data: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    heads = TargetHeads()
    assert heads.learn(data, 200, headers) is None
    assert heads.find(data) is None


def test_they_are_bounded() -> None:
    heads = TargetHeads()
    for number in range(MOST_KNOWN + 1):
        heads.learn(b"%d" % number + HEAD + b"ok", 200, HEADERS)
    assert heads.find(b"0" + HEAD + b"ok") is None
    assert heads.find(b"%d" % MOST_KNOWN + HEAD + b"ok") is not None
