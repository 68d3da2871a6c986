"""How much a body may hold is told before it is decoded."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from buntime_plugin_database.faces import amounts
from buntime_plugin_database.faces.amounts import MOST_VALUES, TooMuch, check_values
from hypothesis import given, settings
from hypothesis import strategies as st

texts = st.text(st.sampled_from('\\"[]{},:aé'), max_size=6)
documents = st.recursive(
    st.none() | st.integers(-5, 5) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)
MANY = MOST_VALUES + 1
MOST_CPU_SECONDS = 0.1
"""Of a piece, which takes a hundredth of that where nothing else runs."""


@settings(deadline=None)
@given(documents, st.sampled_from([2, 3, 7, 50]), st.booleans())
def test_values_are_counted_in_pieces(value: Any, size: int, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(amounts, "PIECE_BYTES", size)
        assert sum(amounts.values_in(body)) == _count(value)


def _count(value: Any) -> int:
    """Commas and opening brackets."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return 0
    return 1 + max(len(value) - 1, 0) + sum(map(_count, value))


@pytest.mark.parametrize(
    "body",
    [b"[" + b"1," * MANY + b"1]", b"[" + b"[]," * MANY + b"1]", b'"",' * MANY, b"{" * MANY],
    ids=["numbers", "arrays", "texts", "unclosed"],
)
async def test_a_body_of_too_many_values_is_refused(body: bytes) -> None:
    with pytest.raises(TooMuch, match="holds more than 500000 values and members"):
        await check_values(body)
    with pytest.raises(TooMuch):
        await check_values(body.decode())


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"1," * 400_000 + b"1]",
        b'"' + b"," * 5_000_000 + b'"',
        b'"' + b'\\",' * 2_000_000 + b'"',
        b"[" + b"\\" * 1_000_001,
    ],
    ids=["numbers", "text", "escapes", "no JSON"],
)
async def test_others_are_not(body: bytes) -> None:
    await check_values(body)


@pytest.mark.parametrize("item", [b'"', b"[],", b'\\"', b'"a",', b"a"])
def test_no_piece_takes_long(item: bytes) -> None:
    longest, before = 0.0, time.thread_time()
    for _ in amounts.values_in(item * (5_000_000 // len(item))):
        now = time.thread_time()
        longest, before = max(longest, now - before), now
    assert longest < MOST_CPU_SECONDS


async def test_others_have_their_turns() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    body = b'"' + b"x" * 5_000_000 + b'"'
    task = asyncio.create_task(other())
    await check_values(body)
    task.cancel()
    assert turns >= len(body) // amounts.PIECE_BYTES
