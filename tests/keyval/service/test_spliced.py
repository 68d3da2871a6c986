"""Long answers are put together in a thread, so that nobody waits for it."""

from __future__ import annotations

import json
import threading

import pytest
from buntime_plugin_keyval.requests.answers import Text, are_long, spliced_beside


class Noting(str):
    """A text that notes which thread makes bytes of it."""

    __slots__ = ("threads",)

    def encode(self, *args: str) -> bytes:
        self.threads = [threading.get_ident()]
        return super().encode(*args)


@pytest.mark.parametrize("others", [[], [b'"bytes"'], [b'"' + b"y" * 1_000_000 + b'"']])
async def test_what_is_long_is_copied_in_a_thread(others: list[Text]) -> None:
    noting = Noting(json.dumps("xé" * 500_000))
    told = await spliced_beside('{"entries":[', [noting, *others], "]}")
    assert isinstance(told, bytes)
    assert noting.threads != [threading.get_ident()]
    expected = [json.loads(text) for text in (noting, *others)]
    assert json.loads(told) == {"entries": expected}


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([], "[]"),
        (["1", "2"], "[1,2]"),
        ([b"1", "2"], b"[1,2]"),
        ([""], "[]"),
        ([b""], b"[]"),
    ],
)
async def test_what_is_short_is_told_at_once(entries: list[Text], told: Text) -> None:
    assert not are_long(entries)
    assert await spliced_beside("[", entries, "]") == told
