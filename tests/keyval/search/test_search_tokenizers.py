"""What counts as a word, and as the same word."""

from __future__ import annotations

import pytest
from buntime_keyval import InvalidInput, SearchWarning
from buntime_keyval.shared import Tokenizer
from buntime_plugin_keyval.faces.local.kv import LocalKv

TEXTS = {
    1: "Crème Brûlée",
    2: "running runners ran",
    3: "ÄRGER über Straße",
    4: "snake_case camelCase",
    5: "日本語 テキスト",
    6: "ﬁne naïve coöperate",
    7: "Ελληνικά ΕΛΛΗΝΙΚΆ",
    8: "Ё ё Е",
    9: "Nguyễn ăn phở ở Việt Nam",
    10: "한국",
    11: "\u1112\u1161\u11ab\u1100\u116e\u11a8",
    12: "Tie\u0302n",
}


CASES = [
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
    ("unicode61", "nguyen", {9}),
    ("unicode61", "viet pho", {9}),
    ("unicode61", "Nguye\u0302\u0303n", {9}),
    ("porter", "nguyen pho", {9}),
    ("trigram", "creme", {1}),
    ("trigram", "arger", {3}),
    ("unicode61", "한국", {10, 11}),
    ("unicode61", "\u1112\u1161\u11ab\u1100\u116e\u11a8", {10, 11}),
    ("ascii", "cre\u0300me", {1}),
    ("ascii", "Tie\u0302n", {12}),
    ("ascii", "Tiên", {12}),
    ("unicode61", "text:한국 한국", {10, 11}),
]


@pytest.mark.engines("sqlite", "libsql")
@pytest.mark.parametrize(
    ("tokenize", "query", "found"),
    CASES,
)
async def test_words(kv: LocalKv, tokenize: Tokenizer, query: str, found: set[int]) -> None:
    for number, text in TEXTS.items():
        await kv.set(["t", number], {"text": text})
    await kv.create_index(["t"], fields=["text"], tokenize=tokenize)
    page = await kv.paginate_search(["t"], query)
    assert {entry.key[1] for entry in page.entries} == found


@pytest.mark.engines("sqlite", "libsql")
@pytest.mark.parametrize(
    ("tokenize", "query", "warnings"),
    [
        ("unicode61", "creme", []),
        ("unicode61", "한국", []),
        ("unicode61", "日本 本語", ['"日本", "本語"', "unicode61 does not divide", "cjk does"]),
        ("porter", "ภาษา", ['"ภาษา"', "porter does not divide"]),
        ("trigram", "un ab runner", ['"un", "ab"', "trigram finds nothing of less than 3"]),
        ("trigram", "日本", ['"日本"', "less than 3 characters"]),
        ("trigram", "— runner", []),
    ],
)
async def test_what_cannot_be_looked_for_is_said(
    kv: LocalKv, tokenize: Tokenizer, query: str, warnings: list[str]
) -> None:
    await kv.create_index(["t"], fields=["text"], tokenize=tokenize)
    page = await kv.paginate_search(["t"], query)
    assert len(page.warnings) == bool(warnings)
    for part in warnings:
        assert part in page.warnings[0]
    if warnings:
        with pytest.warns(SearchWarning, match=warnings[0]):
            [_ async for _ in kv.search(["t"], query)]


@pytest.mark.engines("libsql")
async def test_a_server_has_no_tokenizer_of_ours(kv: LocalKv) -> None:
    with pytest.raises(InvalidInput, match="no tokenizer cjk: trigram"):
        await kv.create_index(["t"], fields=["text"], tokenize="cjk")
