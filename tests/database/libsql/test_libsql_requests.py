"""What goes on the wire to a server, and what its refusals become."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from buntime_database import (
    ConstraintViolation,
    DatabaseBusy,
    DatabaseError,
    DatabaseFull,
    DatabaseUnavailable,
    InvalidStatement,
    OutcomeUnknown,
    ResultTooLarge,
    Statement,
)
from buntime_host.options.jsonc import parse_jsonc
from buntime_plugin_database.engines.libsql.adapter import LibsqlAdapter
from buntime_plugin_database.engines.libsql.errors import AccessRefused, translate_step
from buntime_plugin_database.engines.libsql.options import LibsqlOptions
from buntime_plugin_database.service.config import parse_config

GROWING = Path(__file__).parents[3] / "docs" / "growing.md"


@asynccontextmanager
async def answering(status: str, body: str) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that gives one answer to everything, and the requests that it got."""
    requests: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r")[0])
        requests.append(head + (await reader.readexactly(length)).decode())
        writer.write(
            f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode()
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("token", [None, "secret"])
async def test_the_token_and_the_path_of_the_url(token: str | None) -> None:
    async with answering("401 Unauthorized", '{"error": "no"}') as (url, requests):
        adapter = LibsqlAdapter([f"{url}/behind/a/proxy"], options=LibsqlOptions(auth_token=token))
        with pytest.raises(AccessRefused, match=r"check authToken: .* 401 and .*: no"):
            await adapter.query("SELECT 1")
        with pytest.raises(AccessRefused, match="check authToken"):
            await adapter.batch([Statement("DELETE FROM t")])  # which was certainly not done
        await adapter.close()
    assert len(requests) == 2  # a read is not tried again
    for request in requests:
        assert request.startswith("post /behind/a/proxy/v1/")
        assert ("authorization: bearer secret" in request) == (token is not None)
        assert ("authorization" in request) == (token is not None)


@pytest.mark.parametrize(
    ("status", "body", "read", "write"),
    [
        ("500 Oops", "{}", DatabaseUnavailable, OutcomeUnknown),
        ("502 Bad Gateway", "<html>", DatabaseUnavailable, OutcomeUnknown),
        ("200 OK", "no JSON", DatabaseUnavailable, OutcomeUnknown),
        ("200 OK", "{}", DatabaseUnavailable, OutcomeUnknown),
        ("200 OK", '{"result": {}}', DatabaseUnavailable, OutcomeUnknown),
        ("400 Bad", '"what?"', InvalidStatement, InvalidStatement),
        ("413 Large", '"too much"', InvalidStatement, InvalidStatement),
        ("429 Slow", "{}", DatabaseUnavailable, DatabaseUnavailable),
        ("400 Bad", '{"message": "m", "code": "SQLITE_FULL"}', DatabaseFull, DatabaseFull),
        (
            "400 Bad",
            '{"message": "m", "code": "RESPONSE_TOO_LARGE"}',
            ResultTooLarge,
            OutcomeUnknown,
        ),
    ],
)
async def test_answers_that_are_no_results(
    status: str, body: str, read: type[DatabaseError], write: type[DatabaseError]
) -> None:
    async with answering(status, body) as (url, requests):
        adapter = LibsqlAdapter([url], options=LibsqlOptions(timeout_seconds=0.5))
        with pytest.raises(DatabaseError) as reading:
            await adapter.query("SELECT 1")
        requests.clear()
        with pytest.raises(DatabaseError) as writing:
            await adapter.execute("DELETE FROM t")
        await adapter.close()
    assert (type(reading.value), type(writing.value)) == (read, write)
    writes = [request for request in requests if "DELETE FROM t" in request]
    assert len(writes) == 1  # a write is sent once; then it is asked what became of it
    assert (len(requests) > 1) == (write is OutcomeUnknown)


@pytest.mark.parametrize(
    ("code", "message", "kind", "ours"),
    [
        ("SQLITE_BUSY", "locked", DatabaseBusy, "SQLITE_BUSY"),
        ("TRANSACTION_TIMEOUT", "late", DatabaseBusy, "TRANSACTION_TIMEOUT"),
        ("SQLITE_FULL", "full", DatabaseFull, "SQLITE_FULL"),
        ("SQLITE_IOERR", "disk", DatabaseUnavailable, "SQLITE_IOERR"),
        ("BLOCKED", "over quota", DatabaseUnavailable, "BLOCKED"),
        (None, "?", DatabaseUnavailable, "UNKNOWN"),
        ("SQLITE_UNKNOWN", "no such table: t", InvalidStatement, "SQLITE_UNKNOWN"),
        (
            "SQLITE_CONSTRAINT",
            "SQLite error: NOT NULL constraint failed: t.x",
            ConstraintViolation,
            "SQLITE_CONSTRAINT_NOTNULL",
        ),
        (
            "SQLITE_CONSTRAINT",
            "SQLite error: FOREIGN KEY constraint failed",
            ConstraintViolation,
            "SQLITE_CONSTRAINT_FOREIGNKEY",
        ),
        (
            "SQLITE_CONSTRAINT_PRIMARYKEY",
            "UNIQUE constraint failed: t.id",
            ConstraintViolation,
            "SQLITE_CONSTRAINT_PRIMARYKEY",
        ),
    ],
)
def test_errors_of_statements(
    code: str | None, message: str, kind: type[DatabaseError], ours: str
) -> None:
    error = translate_step(message, code)
    assert (type(error), error.code) == (kind, ours)
    assert not str(error).startswith("SQLite error")


def test_the_configuration_of_the_document() -> None:
    text = GROWING.read_text(encoding="utf-8").partition("```jsonc\n")[2].partition("```")[0]
    configured: Any = parse_jsonc(text)
    (_, options), _ = configured["plugins"]
    config = parse_config(options)
    assert config.adapters[0].options.urls == ("http://primary:8080", "http://replica:8080")
    empty = parse_config({"adapters": [{"type": "libsql"}]}, {"DATABASE_LIBSQL_URL": "http://p"})
    assert empty.adapters[0].options.urls == ("http://p",)
