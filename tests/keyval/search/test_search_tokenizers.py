"""What counts as a word, and as the same word."""

from __future__ import annotations

import pytest
from buntime_keyval.shared import Tokenizer
from buntime_plugin_keyval.kv import Kv

TEXTS = {
    1: "Crème Brûlée",
    2: "running runners ran",
    3: "ÄRGER über Straße",
    4: "snake_case camelCase",
    5: "日本語 テキスト",
    6: "ﬁne naïve coöperate",
    7: "Ελληνικά ΕΛΛΗΝΙΚΆ",
    8: "Ё ё Е",
}


@pytest.mark.parametrize(
    ("tokenize", "query", "found"),
    [
        ("unicode61", "creme", {1}),
        ("unicode61", "CRÈME", {1}),
        ("unicode61", "brulée", {1}),
        ("unicode61", "cre\u0300me", {1}),
        ("unicode61", "arger", {3}),
        ("unicode61", "UBER", {3}),
        ("unicode61", "strasse", set()),
        ("unicode61", "naive cooperate", {6}),
        ("unicode61", "ελληνικά", {7}),
        ("unicode61", "snake", {4}),
        ("unicode61", "camel", set()),
        ("unicode61", "日本語", {5}),
        ("unicode61", "日本", set()),
        ("unicode61", "日本*", {5}),
        ("unicode61", "run", set()),
        ("porter", "run", {2}),
        ("porter", "runs", {2}),
        ("porter", "runner", {2}),
        ("porter", "ran", {2}),
        ("porter", "creme", {1}),
        ("ascii", "creme", set()),
        ("ascii", "crème", {1}),
        ("ascii", "CRèME", {1}),
        ("ascii", "ärger", set()),
        ("ascii", "Ärger", {3}),
        ("ascii", "run", set()),
        ("trigram", "unn", {2}),
        ("trigram", "RUNNER", {2}),
        ("trigram", "本語 テ", set()),
        ("trigram", '"本語 テ"', {5}),
        ("trigram", "日本語", {5}),
        ("trigram", "run rem", set()),
        ("trigram", "un", set()),
        ("trigram", "un runner", {2}),
    ],
)
async def test_words(kv: Kv, tokenize: Tokenizer, query: str, found: set[int]) -> None:
    for number, text in TEXTS.items():
        await kv.set(["t", number], {"text": text})
    await kv.create_index(["t"], fields=["text"], tokenize=tokenize)
    assert {entry.key[1] async for entry in kv.search(["t"], query)} == found
