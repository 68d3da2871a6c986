"""Keys that break programs: through the client and a watch each comes back as it
went, or is refused in words that help."""

from __future__ import annotations

import math
from typing import Any

import pytest
from buntime_keyval import AsyncKv, BigInt, InvalidInput
from client._async.beside import until

pytestmark = pytest.mark.slow

TEXTS = [
    "", " ", ".", "..", "...", "/", "//", "a/b", "\\", "%", "%2F", "%2f", "%00", "%zz", "+", "&=",
    "?", "#", ";", ",", ":", '"', "'", "`", "$now", "$offset", "*", "~", "|",
    "\0", "a\0b", "\n", "\r\n", "\t", "\x1b[31m", "\x7f", "\u0085", "\u2028", "\u202e", "\ufeff",
    "\ufffe", "\uffff", "é", "e\u0301", "ß", "İ", "😀", "👨‍👩‍👧", "𝄞", "漢字",
    "x" * 1024, "😀" * 512,
    "true", "null", "1", "-1", "01", "1.5", "1e3", "NaN", "[1]", '["a"]', "{}", "__proto__",
]  # fmt: skip
OTHERS: list[Any] = [
    0, -1, 2**53 - 1, -(2**53) + 1, 2**53, 2**63, BigInt(0), BigInt(2**53 + 1), BigInt(-(10**30)),
    1.5, -1.5, 1e300, 5e-324, True, False, b"", b"\0", b"\xff\xfe/%", b"x" * 1024,
]  # fmt: skip


@pytest.mark.parametrize("part", [*TEXTS, *OTHERS], ids=lambda part: ascii(part)[:24])
async def test_it_comes_back_as_it_went(kv: AsyncKv, part: Any) -> None:
    key = ("h", part)
    seen: list[Any] = []
    await kv.set(key, {"it": 1})
    for found in (
        (await kv.get(key)).key,
        (await kv.get([key, ["none"]]))[0].key,
        *[entry.key async for entry in kv.list(["h"])],
        *[entry.key async for entry in kv.list(["h"], start=key, values=False)],
        (await kv.paginate(["h"])).entries[0].key,
    ):
        assert found == key
        assert type(found[1]) is type(part)
    assert await kv.count(["h"]) == 1
    watch = kv.watch(key, lambda entries: seen.extend(e.key for e in entries), exact=True)
    await until(lambda: seen == [key])
    await watch.stop()
    assert (await kv.atomic().check(await kv.get(key)).set(key, 2).commit()).ok
    assert (await kv.delete([["h", part], ["none"]], exact=True)).deleted_count == 1
    assert not (await kv.get(key)).exists


async def test_no_two_of_them_are_one(kv: AsyncKv) -> None:
    for number, part in enumerate([*TEXTS, *OTHERS]):
        await kv.set(["h", part], number)
    entries = [entry async for entry in kv.list(["h"])]
    assert sorted(int(e.value or 0) for e in entries) == list(range(len(TEXTS) + len(OTHERS)))
    assert (await kv.get(["h", 1.0])).value is None
    assert (await kv.get(["h", -0.0])).value == (await kv.get(["h", 0])).value


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("\ud800", "lone surrogate"),
        ("a\udcff", "lone surrogate"),
        ("x" * 1025, "too long: 1025 chars (max 1024)"),
        ("😀" * 513, "too long: 1026 chars (max 1024)"),
        (b"x" * 1025, "too large: 1025 bytes (max 1024)"),
        (2**53 + 1, "use BigInt(9007199254740993)"),
        (10**30, "use BigInt(1"),
        (math.nan, "must be finite, received nan"),
        (-math.inf, "must be finite, received -inf"),
        (None, "UUID, datetime, received None"),
        ([], "UUID, datetime, received []"),
        ({"a": 1}, "UUID, datetime, received {'a': 1}"),
        (object, "UUID, datetime, received <class 'object'>"),
        (1j, "UUID, datetime, received 1j"),
    ],
)
async def test_what_is_no_key_is_refused_in_words_of_python(
    kv: AsyncKv, part: Any, reason: str
) -> None:
    async def listed() -> None:
        async for _ in kv.list(start=["h", part]):
            pass

    async def watched() -> None:
        await kv.watch(["h", part], print).stop()

    for use in (
        lambda: kv.set(["h", part], 1),
        lambda: kv.get(["h", part]),
        lambda: kv.get([["h"], ["h", part]]),
        lambda: kv.delete(["h", part]),
        lambda: kv.count(["h", part]),
        lambda: kv.enqueue(1, keys_if_undelivered=[["h", part]]),
        listed,
        watched,
    ):
        with pytest.raises(InvalidInput) as caught:
            await use()
        text = str(caught.value)
        assert reason in text
        assert not {"Uint8Array", "bigint", "null", "array"} & set(text.replace(":", " ").split())
    assert await kv.count() == 0
