"""Large results are read and written in pieces: others have their turns meanwhile."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from buntime_database import Column, DatabaseUnavailable, SessionResult
from buntime_database import Value as SqlValue
from buntime_plugin_database.engines.libsql.values import read_result
from buntime_plugin_database.faces.hrana.requests import HRANA, statement_result
from buntime_plugin_database.faces.http.values import row_objects, rows_as_json
from buntime_plugin_database.faces.rows_json import SMALL_BYTES, row_json, rows_json, size_of
from buntime_plugin_database.shared.values import InvalidArgument, encode_rows
from database.support import turns_during

Rows = list[tuple[SqlValue, ...]]
LARGE = 10 * SMALL_BYTES


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([("x" * LARGE,)], id="a text"),
        pytest.param([('"' * LARGE,)], id="quotes"),
        pytest.param([("\x01é🥑\u2028\\" * (LARGE // 5), "short", None)], id="all kinds"),
        pytest.param([(b"x" * (LARGE + 1), 2**63 - 1)], id="a blob"),
        pytest.param([(bytes(range(256)) * (LARGE // 256), 1.5)] * 2, id="blobs"),
        pytest.param([(number, None) for number in range(LARGE // 64)], id="many small rows"),
        pytest.param([tuple("abc" for _ in range(2_000))] * 12, id="many columns"),
        pytest.param([("a",), ("x" * LARGE,), ("b",), ("c",)], id="small ones about a large one"),
    ],
)
async def test_a_large_result_is_the_same_in_turns(rows: Rows) -> None:
    turns, written = await turns_during(rows_json(rows, HRANA))
    assert msgspec.json.decode(written) == encode_rows(rows)
    assert turns >= sum(map(size_of, rows)) // SMALL_BYTES // 2
    names = tuple(Column(f'na"me{number}', None) for number in range(len(rows[0])))
    result = SessionResult(names, rows, 0, None, size=sum(map(size_of, rows)))
    for as_text in (False, True):
        turns, told = await turns_during(rows_as_json(result, blobs_as_text=as_text))
        shown = msgspec.json.encode(told)
        assert msgspec.json.decode(shown) == row_objects(result, blobs_as_text=as_text)
        assert turns >= sum(map(size_of, rows)) // SMALL_BYTES // 2
    for row in rows[:5]:
        one = msgspec.json.encode(await row_json(row, HRANA))
        assert [msgspec.json.decode(one)] == encode_rows([row])


@pytest.mark.parametrize("rows", [[], [()], [(None,)], [(1, "a"), (2, b"")]], ids=str)
async def test_small_ones_are_written_at_once(rows: Rows) -> None:
    turns, written = await turns_during(rows_json(rows, HRANA))
    assert msgspec.json.decode(written) == encode_rows(rows)
    assert turns == 0


async def test_the_result_of_a_statement_takes_turns() -> None:
    rows: Rows = [("x" * LARGE,)]
    result = SessionResult((Column("x", None),), rows, 1, None, size=LARGE)
    turns, told = await turns_during(statement_result(result))
    assert turns >= LARGE // SMALL_BYTES - 2
    assert msgspec.json.decode(msgspec.json.encode(told))["rows"] == encode_rows(rows)


async def test_an_infinity_is_refused() -> None:
    for rows in ([(float("inf"),)], [("x" * LARGE, float("inf"))]):
        with pytest.raises(InvalidArgument):
            await rows_json(rows, HRANA)


def answered(*texts: str) -> dict[str, Any]:
    """What a libSQL server says of a row of blobs, in base64."""
    row = [{"type": "blob", "base64": text} for text in texts]
    return {"cols": [{"name": "b"} for _ in texts], "rows": [row], "affected_row_count": 0}


async def test_long_blobs_of_a_server_are_read_in_turns() -> None:
    blobs = [bytes(range(256)) * 8_000 + b"x" * more for more in range(3)]
    texts = [base64.b64encode(blob).decode() for blob in blobs]
    texts[2] = texts[2].rstrip("=")  # as sqld writes it
    turns, result = await turns_during(read_result(answered("QQ", *texts)))
    assert result.rows == [(b"A", *blobs)]
    assert turns >= len(blobs) * 10
    turns, result = await turns_during(read_result(answered("QQ")))
    assert (turns, result.rows) == (0, [(b"A",)])


@pytest.mark.parametrize("rows", [None, [None], [[None]], [[{"base64": 1}]]], ids=str)
async def test_what_makes_no_sense_is_an_error_of_the_database(rows: Any) -> None:
    with pytest.raises(DatabaseUnavailable, match="makes no sense"):
        await read_result({**answered(), "rows": rows})
    with pytest.raises(DatabaseUnavailable, match="makes no sense"):
        await read_result(answered("A" * 1_000_001))
