"""From what people type to FTS5: the grammar, and that nothing breaks it."""

from __future__ import annotations

from collections.abc import Sequence

import apsw
import pytest
from buntime_keyval import InvalidInput
from buntime_keyval.wire.searching import TOKENIZERS
from buntime_plugin_database.engines.sqlite import cjk
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.storage.dialects.search import Match
from buntime_plugin_keyval.storage.dialects.sqlite.search import match
from buntime_plugin_keyval.storage.dialects.sqlite.search.tables import FTS5_TOKENIZERS
from buntime_plugin_keyval.storage.queries import (
    MAX_DEPTH,
    MAX_QUERY_LENGTH,
    MAX_TERMS,
    parse_query,
)
from buntime_plugin_keyval.storage.sought import Sought
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.sampling import share_of

pytestmark = pytest.mark.engines("sqlite", "odd")

PIECES = [
    "AND", "OR", "NOT", "NEAR", "(", ")", '"', '""', "*", "^", ":", "-", "'", "{", "}", "+", ",",
    "title", "title:", "body:", "f0", "f0 :", "rowid", "a", "be", "see", "word*", '"a phrase"',
    '"open', "é", "—", "́", "🥑", "\0", "\ue000", "日本語", " ", "\n", "\\", "%", "NEAR(a b, 2)",
]  # fmt: skip


def to_match(query: str, fields: Sequence[str], tokenize: str) -> Match:
    """A query in FTS5's language."""
    return match.to_match(parse_query(query, fields), tokenize)


def tables() -> dict[str, apsw.Connection]:
    connections = {}
    for tokenizer in TOKENIZERS:
        connection = apsw.Connection(":memory:")
        cjk.register(connection)
        name = FTS5_TOKENIZERS.get(tokenizer, tokenizer)
        connection.execute(f"CREATE VIRTUAL TABLE t USING fts5(f0, f1, tokenize = '{name}')")
        connection.execute("INSERT INTO t VALUES ('a word, a phrase', 'see 🥑 — é')")
        connections[tokenizer] = connection
    return connections


TABLES = tables()
END_OF_GRAMMAR = 0x3001
"""Behind the last space: from here on a character is part of a word to whoever reads a query."""


@pytest.mark.slow
@given(
    st.one_of(
        st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join),
        st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
        st.text(st.characters(codec="utf-8"), max_size=40),
    ),
    st.sampled_from(TOKENIZERS),
)
@example("(" * 99 + "a" + ")" * 99, "unicode61")
@example("(a OR " * 10 + "b" + ")" * 10, "unicode61")
@example("(a OR b c NOT " * 10 + "d" + ")" * 10, "unicode61")
@example("(a NOT b OR c NOT (d OR e) NOT " * 5 + "d" + ")" * 5, "unicode61")
@example("(a OR " * 49 + "b" + ")" * 49, "unicode61")
@example("a NOT " * 99 + "b", "unicode61")
@example("(a NOT " * 10 + "b" + ")" * 10, "porter")
@example("a " * MAX_TERMS, "ascii")
@example("a OR b AND " * 49 + "c", "ascii")
@example("\0", "trigram")
@settings(max_examples=share_of(600), deadline=None)
def test_fts5_accepts_every_translation(query: str, tokenizer: str) -> None:
    match = to_match(query, ["title", "body"], tokenizer)
    if match.expression is not None:
        sql = "SELECT count(*) FROM t WHERE t MATCH ?"
        TABLES[tokenizer].execute(sql, (match.expression,)).fetchall()


@pytest.mark.slow
@pytest.mark.parametrize(("tokenizer", "end"), [("unicode61", 0x110000), ("ascii", 0x3000)])
def test_no_character_that_makes_a_word_is_left_out(tokenizer: str, end: int) -> None:
    words = TABLES[tokenizer].fts5_tokenizer(tokenizer)
    sought = Sought(tokenizer)

    def is_left_out(number: int) -> bool:
        if number >= END_OF_GRAMMAR:
            return not sought.can_find(chr(number))
        return to_match(chr(number), [], tokenizer).expression is None

    numbers = (number for number in range(1, end) if not 0xD800 <= number < 0xE000)
    left_out = [
        hex(number)
        for number in numbers
        if not chr(number).isspace()  # between words, says the grammar
        and is_left_out(number)
        and words(chr(number).encode(), apsw.FTS5_TOKENIZE_QUERY, None)
    ]
    assert left_out == []


DOCUMENTS = {
    1: {"title": "alpha beta", "body": "gamma"},
    2: {"title": "alpha", "body": "delta epsilon"},
    3: {"title": "beta", "body": "alpha, and not gamma"},
    4: {"title": "well-known thing", "body": "o'clock 3.14 a:b user@example.org"},
    5: {"title": "or", "body": "known — well"},
}


@pytest.fixture
async def filled(kv: LocalKv) -> LocalKv:
    for number, value in DOCUMENTS.items():
        await kv.set(["d", number], value)
    await kv.create_index(["d"], fields=["title", "body"])
    return kv


CASES = [
    ("alpha", {1, 2, 3}),
    ("ALPHA", {1, 2, 3}),
    ("alpha beta", {1, 3}),
    ("alpha AND beta", {1, 3}),
    ("beta delta", set()),
    ("beta OR delta", {1, 2, 3}),
    ("alpha NOT gamma", {2}),
    ("alpha NOT (gamma OR delta)", set()),
    ("(beta OR delta) gamma", {1, 3}),
    ("beta OR delta gamma", {1, 3}),
    ('"alpha beta"', {1}),
    ('"beta alpha"', set()),
    ('"delta epsilon" alpha', {2}),
    ("epsi*", {2}),
    ('"delta eps"*', {2}),
    ("title:alpha", {1, 2}),
    ("body:alpha", {3}),
    ("title:alph*", {1, 2}),
    ('title:"alpha beta"', {1}),
    ("title:alpha body:gamma", {1}),
    ("gamma NOT title:beta", set()),
    ("Title:alpha", set()),
    ("and", {3}),
    ("alpha and gamma", {3}),
    ("NOT alpha", {3}),
    ("alpha AND", {3}),
    ("OR", {5}),
    ("(alpha", {1, 2, 3}),
    ("alpha)", {1, 2, 3}),
    ('"alpha', {1, 2, 3}),
    ("well-known", {4}),
    ("known-well", {5}),
    ("o'clock", {4}),
    ("3.14", {4}),
    ("a:b", {4}),
    ("user@example.org", {4}),
    ("— alpha", {1, 2, 3}),
    ("alpha — OR", set()),
    ("(— OR –) alpha", {1, 2, 3}),
    ("alpha NOT —", {1, 2, 3}),
    ("—", set()),
    ("* ^ + -", set()),
    ("()", set()),
    ("   ", set()),
    ("", set()),
    ("rowid", set()),
    ("f0", set()),
    ("f0:alpha", set()),
]


@pytest.mark.parametrize(
    ("query", "found"),
    CASES,
)
async def test_the_grammar(filled: LocalKv, query: str, found: set[int]) -> None:
    assert {entry.key[1] async for entry in filled.search(["d"], query)} == found


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("a" * (MAX_QUERY_LENGTH + 1), "query too long: 4097 characters (max 4096)"),
        ("a " * (MAX_TERMS + 1), "query has too many words: 201 (max 200)"),
    ],
)
async def test_limits(filled: LocalKv, query: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        [_ async for _ in filled.search(["d"], query)]
    assert str(caught.value) == message


def test_depth_ends_in_plain_words() -> None:
    deep = "(" * MAX_DEPTH + "a OR b" + ")" * MAX_DEPTH
    assert to_match(deep, [], "unicode61").expression == '("a" OR "b")'
    assert to_match(f"({deep})", [], "unicode61").expression == '("a" "OR" "b")'
