"""Writing rows of a table: each request is one transaction."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from buntime_database import SessionResult
from buntime_host import BadRequest
from buntime_host.described import described
from starlette.requests import Request
from starlette.responses import Response

from buntime_plugin_database.faces.amounts import (
    STATEMENTS_INLINE,
    check_arguments,
    check_statements,
)
from buntime_plugin_database.faces.bodies import json_response, read_body
from buntime_plugin_database.faces.http.catalogue import (
    TableColumn,
    find_table,
    list_columns,
    quoted,
)
from buntime_plugin_database.faces.http.plain import Bound
from buntime_plugin_database.faces.http.sessions import RequestSessions, SessionPart
from buntime_plugin_database.faces.http.statements import (
    assignments,
    delete_rows,
    insert_row,
    update_rows,
    where,
)
from buntime_plugin_database.faces.http.values import made_of, row_objects
from buntime_plugin_database.faces.large import hand_of
from buntime_plugin_database.faces.targets import Targets


class InsertBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST rows`: one row, or several."""

    row: dict[str, Any] | None = None
    rows: list[dict[str, Any]] | None = None
    type: str | None = None
    tenant: str | None = None


class UpdateBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `PATCH rows`."""

    where: dict[str, Any]
    set: dict[str, Any]
    type: str | None = None
    tenant: str | None = None


class DeleteBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `DELETE rows`."""

    where: dict[str, Any]
    type: str | None = None
    tenant: str | None = None


class RowRoutes:
    """The endpoints that write rows."""

    def __init__(self, sessions: RequestSessions, targets: Targets) -> None:
        self._sessions = sessions
        self._targets = targets

    @described(body=InsertBody, status=201)
    async def insert(self, request: Request) -> Response:
        """`POST tables/{name}/rows`: insert rows, and answer them as they are stored."""
        body = await read_body(request, InsertBody)
        rows = body.rows if body.rows is not None else [body.row] if body.row is not None else []
        if not rows:
            raise BadRequest("Give row, or rows with at least one row")
        check_statements(len(rows))
        check_arguments(map(len, rows))
        target = self._targets.of(request, needs="write", type=body.type, tenant=body.tenant)

        async def plan(connection: SessionPart) -> list[Bound]:
            table, columns = await _table(connection, request)
            if len(rows) > STATEMENTS_INLINE:
                return await asyncio.to_thread(_inserts, table, columns, rows)
            return _inserts(table, columns, rows)

        results = await self._sessions.write(target, hand_of(request), plan)
        stored = await made_of(
            results, lambda: [row for result in results for row in row_objects(result)]
        )
        return json_response({"ok": True, "rows": stored, "rowsAffected": len(stored)}, 201)

    @described(body=UpdateBody)
    async def update(self, request: Request) -> Response:
        """`PATCH tables/{name}/rows`: give the rows that match new values."""
        body = await read_body(request, UpdateBody)
        if not body.set:
            raise BadRequest("Give at least one column to set")
        check_arguments([len(body.set) + len(body.where)])
        target = self._targets.of(request, needs="write", type=body.type, tenant=body.tenant)

        async def plan(connection: SessionPart) -> list[Bound]:
            table, columns = await _table(connection, request)
            condition, args = _where(connection, columns, body.where)
            names, values = assignments(columns, body.set)
            return [Bound(update_rows(table, names, condition), [*values, *args])]

        (result,) = await self._sessions.write(target, hand_of(request), plan)
        return _affected(result)

    @described(body=DeleteBody)
    async def delete(self, request: Request) -> Response:
        """`DELETE tables/{name}/rows`: remove the rows that match."""
        body = await read_body(request, DeleteBody)
        check_arguments([len(body.where)])
        target = self._targets.of(request, needs="write", type=body.type, tenant=body.tenant)

        async def plan(connection: SessionPart) -> list[Bound]:
            table, columns = await _table(connection, request)
            condition, args = _where(connection, columns, body.where)
            return [Bound(delete_rows(table, condition), args)]

        (result,) = await self._sessions.write(target, hand_of(request), plan)
        return _affected(result)


def _inserts(table: str, columns: list[TableColumn], rows: list[dict[str, Any]]) -> list[Bound]:
    found = [assignments(columns, row) for row in rows]
    return [Bound(insert_row(table, names), values) for names, values in found]


async def _table(connection: SessionPart, request: Request) -> tuple[str, list[TableColumn]]:
    table = await find_table(connection, request.path_params["name"])
    return quoted(table.name), await list_columns(connection, table)


def _where(
    connection: SessionPart, columns: list[TableColumn], wanted: dict[str, Any]
) -> tuple[str, list[Any]]:
    if not wanted:
        raise BadRequest("where must name at least one column")
    return where(connection.family, columns, wanted)


def _affected(result: SessionResult) -> Response:
    return json_response({"ok": True, "rowsAffected": result.rowcount})
