"""Long answers of servers are decoded in turns, and are the same as decoded at once."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from buntime_database import Statement, Value
from buntime_plugin_database.engines.libsql import answers
from buntime_plugin_database.engines.libsql.answers import each_row
from database.libsql.conftest import OpenLibsql
from database.support import turns_during

KINDS = "\"\\a🥑\x01é\n],[{}:'"
"""Characters that mean something in JSON, or take several bytes."""


def flat(value: Any) -> Any:
    """The same without groups of rows."""
    if isinstance(value, list):
        return [flat(item) for item in each_row(value)]
    if isinstance(value, dict):
        return {name: flat(member) for name, member in value.items()}
    return value


def text(chance: random.Random, piece: int) -> str:
    """Some text, longer than a piece now and then."""
    length = chance.choice((0, 1, 5, 5, 5, piece // 2, piece * 3, piece * chance.randrange(1, 9)))
    kind = chance.choice(('"', "\\", "é🥑", '],["', 'a"', None, "x"))
    if kind is None:
        return "".join(chance.choices(KINDS, k=length))
    return "a" * chance.randrange(5) + kind * length


def answer(chance: random.Random, piece: int) -> dict[str, Any]:
    """Results of a batch, some of them without rows."""

    def row() -> list[Any]:
        values = [
            {"type": "text", "value": text(chance, piece)},
            {"type": "float", "value": chance.random()},
            {"type": "null"},
        ]
        return values[: chance.randrange(1, 4)]

    results = [
        {
            "cols": [{"name": '],["'}],
            "rows": [row() for _ in range(chance.choice((0, 1, 3, 60)))],
            "affected_row_count": 1,
        }
        if chance.random() < 0.8
        else None
        for _ in range(4)
    ]
    return {"result": {"step_results": results, "step_errors": [None, 1.5, -0.0]}}


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    """How many bytes are decoded at once."""
    monkeypatch.setattr(answers, "PIECE", request.param)
    monkeypatch.setattr(answers, "LONG_ANSWER", 4 * request.param)
    return int(request.param)


@pytest.mark.parametrize("pieces", [64, 101, 1024], indirect=True)
@pytest.mark.parametrize("plain", [True, False], ids=["plain", "escaped"])
async def test_an_answer_is_the_same_in_turns(pieces: int, plain: bool) -> None:
    chance = random.Random(pieces)
    grouped = 0
    for _ in range(25):
        said = answer(chance, pieces)
        content = json.dumps(said, ensure_ascii=not plain, separators=(",", ":")).encode()
        turns, decoded = await turns_during(answers.decode_answer(content))
        assert flat(decoded) == said
        assert len(content) <= 4 * pieces or turns >= len(content) // pieces
        grouped += decoded != said
    assert grouped > 5


@pytest.mark.parametrize("end", [b"", b'"', b"\\", b'\xff"', b'\\x"]'])
async def test_what_is_no_json_is_refused(end: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        await answers.decode_answer(b'["' + b"x" * answers.LONG_ANSWER + end)


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_long_answers_of_a_server(
    urls: list[str], open_libsql: OpenLibsql, scheme: str
) -> None:
    adapter = open_libsql(urls[0].replace("http", scheme))
    rows: list[tuple[Value, ...]] = [
        ('"' * 900_000, b"x" * 200_000, None),
        *((f"v{n}", n, n / 2) for n in range(5_000)),
    ]
    await adapter.execute("CREATE TABLE t (a, b, c)")
    insert = "INSERT INTO t VALUES (?, ?, ?) RETURNING *"
    turns, (first, *_) = await turns_during(
        adapter.batch([Statement(insert, row) for row in rows[:100]])
    )
    assert first.rows == rows[:1]
    assert turns > 20
    for start in range(100, len(rows), 500):
        await adapter.batch([Statement(insert, row) for row in rows[start : start + 500]])
    for sql in ("SELECT * FROM t", "UPDATE t SET a = a RETURNING a, b, c"):
        turns, result = await turns_during(adapter.execute_result(sql))
        assert result.rows == rows
        assert turns > 20
