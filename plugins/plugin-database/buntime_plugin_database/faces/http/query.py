"""`POST query`, `execute` and `batch`: SQL with bound arguments."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from buntime_database import DatabaseError, SessionResult
from buntime_host import BadRequest, choice_of
from buntime_host.described import described
from starlette.requests import Request
from starlette.responses import Response

from buntime_plugin_database.faces.access import Access
from buntime_plugin_database.faces.amounts import (
    STATEMENTS_INLINE,
    check_arguments,
    check_statements,
)
from buntime_plugin_database.faces.bodies import json_response, read_body
from buntime_plugin_database.faces.config import ApiConfig
from buntime_plugin_database.faces.errors import http_error
from buntime_plugin_database.faces.http.plain import Bound
from buntime_plugin_database.faces.http.sessions import RequestSessions, SessionPart, at_statement
from buntime_plugin_database.faces.http.values import (
    BLOB_FORMS,
    column_objects,
    from_json,
    made_of,
    row_objects,
    rows_as_json,
)
from buntime_plugin_database.faces.large import hand_of
from buntime_plugin_database.faces.permissions import Need
from buntime_plugin_database.faces.rows_json import SMALL_BYTES
from buntime_plugin_database.faces.targets import Targets

Args = list[Any] | dict[str, Any] | None


class SqlBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Body of `query` and `execute`."""

    sql: Any = None
    args: Args = None
    type: str | None = None
    tenant: str | None = None
    readonly: bool | None = None
    max_rows: int | None = None


class BatchStatement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One statement of a batch."""

    sql: Any = None
    args: Args = None


class BatchBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `batch`."""

    statements: list[BatchStatement]
    type: str | None = None
    tenant: str | None = None


class QueryRoutes:
    """The endpoints that take SQL."""

    def __init__(
        self, sessions: RequestSessions, targets: Targets, access: Access, config: ApiConfig
    ) -> None:
        self._sessions = sessions
        self._targets = targets
        self._access = access
        self._config = config

    @described(body=SqlBody)
    async def query(self, request: Request) -> Response:
        """`POST query`: run one statement, which reads unless options or body say otherwise."""
        body = await read_body(request, SqlBody)
        readonly = not self._config.write if body.readonly is None else body.readonly
        if not readonly:
            if body.readonly is False:
                self._access.check(request, write=True)
            elif not self._access.may_write(request):
                readonly = True
        needs: Need = "write" if body.readonly is False else "read"
        return await self._run(request, body, readonly=readonly, needs=needs)

    @described(body=SqlBody)
    async def execute(self, request: Request) -> Response:
        """`POST execute`: run one statement of any kind, committed when the answer comes."""
        body = await read_body(request, SqlBody)
        return await self._run(request, body, readonly=False, needs="write")

    @described(body=BatchBody)
    async def batch(self, request: Request) -> Response:
        """`POST batch`: run statements that are written together or not at all."""
        body = await read_body(request, BatchBody)
        target = self._targets.of(request, needs="write", type=body.type, tenant=body.tenant)
        check_statements(len(body.statements))
        if len(body.statements) > STATEMENTS_INLINE:
            statements = await asyncio.to_thread(_bound_all, body.statements)
        else:
            statements = _bound_all(body.statements)

        async def plan(_: SessionPart) -> list[Bound]:
            return statements

        max_rows = self._config.max_rows
        results = await self._sessions.write(
            target, hand_of(request), plan, max_rows=max_rows, numbered=True
        )
        return json_response({"results": await _shown(results)})

    async def _run(
        self, request: Request, body: SqlBody, *, readonly: bool, needs: Need
    ) -> Response:
        blobs_as_text = choice_of(request, "blob", BLOB_FORMS) == "text"
        sql = _sql(body.sql)
        target = self._targets.of(request, needs=needs, type=body.type, tenant=body.tenant)
        check_arguments([len(body.args or ())])
        args, named = _arguments(body.args)
        max_rows = self._config.max_rows
        if body.max_rows is not None:
            if body.max_rows < 0:
                raise BadRequest("maxRows must not be negative")
            max_rows = min(max_rows, body.max_rows)
        async with self._sessions.open(target, hand_of(request), readonly=readonly) as session:
            result = await session.execute(sql, args, named, max_rows=max_rows)
            if not session.autocommit:
                raise BadRequest(
                    "a transaction does not outlive its request: use batch, or Hrana",
                    code="TRANSACTION_LEFT_OPEN",
                )
        (shown,) = await _shown([result], blobs_as_text=blobs_as_text)
        duration = round(result.seconds * 1000)
        return json_response({"duration": duration, "rowCount": len(result.rows), **shown})


async def _shown(
    results: list[SessionResult], *, blobs_as_text: bool = False
) -> list[dict[str, Any]]:
    """All results; rows of large ones are encoded before, in turns with others."""
    large = {
        number: await rows_as_json(result, blobs_as_text=blobs_as_text)
        for number, result in enumerate(results)
        if result.size > SMALL_BYTES
    }
    small = [
        result._replace(rows=[]) if number in large else result
        for number, result in enumerate(results)
    ]
    shown = await made_of(
        small, lambda: [_result(result, blobs_as_text=blobs_as_text) for result in small]
    )
    for number, rows in large.items():
        shown[number]["rows"] = rows
    return shown


def _result(result: SessionResult, *, blobs_as_text: bool = False) -> dict[str, Any]:
    """The members of a result. Those that may be long are written here, and not by the loop."""
    return {
        "rows": _written(row_objects(result, blobs_as_text=blobs_as_text)),
        "columns": _written(column_objects(result.columns)),
        "rowsAffected": result.rowcount,
        "lastInsertRowid": str(result.lastrowid) if result.lastrowid else None,
        "truncated": result.truncated,
    }


def _written(content: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(content))


def _sql(sql: Any) -> str:
    if not isinstance(sql, str) or not sql.strip():
        raise BadRequest("Missing or invalid SQL query", code="MISSING_SQL")
    return sql


def _arguments(args: Args) -> tuple[list[Any], dict[str, Any]]:
    if isinstance(args, dict):
        return [], {name: from_json(value) for name, value in args.items()}
    return [from_json(value) for value in args or ()], {}


def _bound_all(statements: list[BatchStatement]) -> list[Bound]:
    check_arguments(len(statement.args or ()) for statement in statements)
    return [_bound(index, statement) for index, statement in enumerate(statements)]


def _bound(index: int, statement: BatchStatement) -> Bound:
    try:
        return Bound(_sql(statement.sql), *_arguments(statement.args))
    except DatabaseError as error:
        raise at_statement(index, http_error(error)) from error
