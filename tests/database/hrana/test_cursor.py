"""`POST v3/cursor`: entries of a batch, line by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.database import database_server
from support.hrana import HranaHttp, batch, execute, value


def lines(hrana: HranaHttp, body: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    answer = hrana.client.post(f"{hrana.base}/v3/cursor", json=body)
    assert answer.status_code == 200, answer.text
    head, *entries = (json.loads(line) for line in answer.text.splitlines())
    return head, entries


def test_entries_come_in_order_and_skipped_steps_are_silent(hrana: HranaHttp) -> None:
    head, entries = lines(
        hrana,
        {
            "batch": batch(
                (None, "CREATE TABLE t (x INTEGER)"),
                (None, "INSERT INTO t VALUES (1), (2) RETURNING x"),
                ({"type": "error", "step": 1}, "SELECT 'skipped'"),
                (None, "SELECT nonsense"),
                ({"type": "error", "step": 3}, "SELECT x FROM t"),
            )
        },
    )
    assert head.keys() == {"baton", "base_url"}
    column = [{"name": "x", "decltype": "INTEGER"}]
    error = {"code": "SQLITE_ERROR", "message": "no such column: nonsense"}
    assert entries == [
        {"type": "step_begin", "step": 0, "cols": []},
        {"type": "step_end", "affected_row_count": 0, "last_insert_rowid": None},
        {"type": "step_begin", "step": 1, "cols": column},
        {"type": "row", "row": [value(1)]},
        {"type": "row", "row": [value(2)]},
        {"type": "step_end", "affected_row_count": 2, "last_insert_rowid": "2"},
        {"type": "step_error", "step": 3, "error": error},
        {"type": "step_begin", "step": 4, "cols": column},
        {"type": "row", "row": [value(1)]},
        {"type": "row", "row": [value(2)]},
        {"type": "step_end", "affected_row_count": 0, "last_insert_rowid": None},
    ]
    hrana.run(baton=head["baton"])


def test_a_cursor_on_an_open_stream(hrana: HranaHttp) -> None:
    _, baton = hrana.pipeline(execute("BEGIN"), execute("CREATE TABLE t (x)"))
    head, entries = lines(hrana, {"baton": baton, "batch": batch((None, "SELECT * FROM t"))})
    assert [entry["type"] for entry in entries] == ["step_begin", "step_end"]
    results, _ = hrana.pipeline(execute("COMMIT"), {"type": "close"}, baton=head["baton"])
    assert results[0]["type"] == "execute"


def test_more_rows_than_a_pipeline_may_return(hrana: HranaHttp) -> None:
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT"
    many = f"{rows} i, hex(randomblob(20)) FROM n"
    (error,) = hrana.run(execute(many))
    assert error["code"] == "RESPONSE_TOO_LARGE"
    _, entries = lines(hrana, {"batch": batch((None, many))})
    assert [int(e["row"][0]["value"]) for e in entries if e["type"] == "row"] == [*range(1, 5001)]


def test_a_stream_whose_cursor_is_being_read_is_busy(tmp_path: Path) -> None:
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT"
    body = {"batch": batch((None, f"{rows} i, hex(randomblob(50)) FROM n"))}
    # A server of its own, since on the others the statement may run for no longer than a second.
    patient = {"write": True, "statementTimeout": "60s", "idleTimeout": "60s"}
    with database_server(tmp_path, api=patient, tenancy={"autoCreate": True}) as server:
        hrana = HranaHttp(server)
        with (
            hrana.client,
            hrana.client.stream("POST", f"{hrana.base}/v3/cursor", json=body) as answer,
        ):
            entries = answer.iter_lines()  # kept, since the answer is closed with it
            head = json.loads(next(entries))  # and no more, so that it cannot end
            for path, more in (("pipeline", {"requests": [{"type": "close"}]}), ("cursor", body)):
                again = hrana.client.post(
                    f"{hrana.base}/v3/{path}", json={"baton": head["baton"], **more}
                )
                assert (again.status_code, again.json()["code"]) == (400, "STREAM_BUSY")


def test_a_reader_that_leaves_frees_the_stream(hrana: HranaHttp) -> None:
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT"
    body = {"batch": batch((None, f"{rows} i, hex(randomblob(50)) FROM n"))}
    with hrana.client.stream("POST", f"{hrana.base}/v3/cursor", json=body) as answer:
        head = json.loads(next(answer.iter_lines()))
    # Until the server has noticed, the stream is busy; then the baton opens it again.
    for _ in range(200):
        again = hrana.client.post(
            f"{hrana.base}/v3/pipeline",
            json={"baton": head["baton"], "requests": [{"type": "close"}]},
        )
        if again.json().get("code") != "STREAM_BUSY":
            break
    assert again.status_code == 200 or again.json()["code"] == "STREAM_EXPIRED"


def test_conditions_that_make_no_sense_end_the_cursor(hrana: HranaHttp) -> None:
    head, entries = lines(hrana, {"batch": batch(({"type": "nonsense"}, "SELECT 1"))})
    assert [entry["type"] for entry in entries] == ["error"]
    assert entries[0]["error"]["code"] == "HRANA_INVALID_CONDITION"
    hrana.run(baton=head["baton"])
