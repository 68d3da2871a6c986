"""`POST tables/{name}/changes`: edited rows, as one transaction.

Each row to change or to remove is named by its key, and optionally by the values that the editor
saw: it has to exist, once, or nothing is written.
"""

from __future__ import annotations

from typing import Any

import msgspec
from buntime_host import BadRequest
from buntime_host.described import described
from starlette.requests import Request
from starlette.responses import Response

from buntime_plugin_database.faces.amounts import check_arguments, check_statements
from buntime_plugin_database.faces.bodies import json_response, read_body
from buntime_plugin_database.faces.errors import Conflict
from buntime_plugin_database.faces.http.catalogue import (
    TableColumn,
    find_table,
    list_columns,
    quoted,
    row_id,
)
from buntime_plugin_database.faces.http.plain import Bound
from buntime_plugin_database.faces.http.sessions import RequestSessions, SessionPart
from buntime_plugin_database.faces.http.statements import (
    assignments,
    count_rows,
    delete_rows,
    insert_row,
    update_rows,
    where,
)
from buntime_plugin_database.faces.large import hand_of
from buntime_plugin_database.faces.targets import Targets

MOST_CHANGES = 1000
"""Most rows of one request: as many as a page shows."""

CHANGED = "ROW_CHANGED"


class RowUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New values for one row."""

    where: dict[str, Any]
    set: dict[str, Any]


class RowDelete(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row to remove."""

    where: dict[str, Any]


class ChangeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST changes`."""

    insert: list[dict[str, Any]] = []
    update: list[RowUpdate] = []
    delete: list[RowDelete] = []
    type: str | None = None
    tenant: str | None = None


class ChangeRoutes:
    """The endpoint of edited rows."""

    def __init__(self, sessions: RequestSessions, targets: Targets) -> None:
        self._sessions = sessions
        self._targets = targets

    @described(body=ChangeBody)
    async def change(self, request: Request) -> Response:
        """Remove, change and insert rows, in this order, all of it or nothing."""
        body = await read_body(request, ChangeBody)
        number = len(body.insert) + len(body.update) + len(body.delete)
        if number == 0:
            raise BadRequest("Give at least one row to insert, update or delete")
        if number > MOST_CHANGES:
            raise BadRequest(f"Too many changes: {number} (max {MOST_CHANGES})")
        check_statements(number)
        check_arguments(
            [
                *(len(row) for row in body.insert),
                *(len(one.where) + len(one.set) for one in body.update),
                *(len(one.where) for one in body.delete),
            ]
        )
        target = self._targets.of(request, needs="write", type=body.type, tenant=body.tenant)

        async def plan(connection: SessionPart) -> list[Bound]:
            return await _planned(connection, request.path_params["name"], body)

        results = await self._sessions.write(target, hand_of(request), plan, numbered=True)
        affected = sum(result.rowcount for result in results)
        return json_response({"ok": True, "rowsAffected": affected})


async def _planned(connection: SessionPart, name: str, body: ChangeBody) -> list[Bound]:
    table = await find_table(connection, name)
    columns = await list_columns(connection, table)
    row = row_id(connection, table, columns)
    sql_name = quoted(table.name)
    planned: list[Bound] = []
    for number, removal in enumerate(body.delete):
        place = f"delete[{number}]"
        condition, args = await _one(connection, sql_name, columns, row, removal.where, place)
        planned.append(Bound(delete_rows(sql_name, condition), args))
    for number, change in enumerate(body.update):
        place = f"update[{number}]"
        if not change.set:
            raise BadRequest(f"{place}: give at least one column to set")
        condition, args = await _one(connection, sql_name, columns, row, change.where, place)
        names, values = assignments(columns, change.set)
        planned.append(Bound(update_rows(sql_name, names, condition), [*values, *args]))
    for values_of in body.insert:
        names, values = assignments(columns, values_of)
        planned.append(Bound(insert_row(sql_name, names, returns=False), values))
    return planned


async def _one(
    connection: SessionPart,
    table: str,
    columns: list[TableColumn],
    row: str | None,
    wanted: dict[str, Any],
    place: str,
) -> tuple[str, list[Any]]:
    """The condition of exactly one row. Raises `BadRequest` and `Conflict`."""
    if not wanted:
        raise BadRequest(f"{place}: where must name at least one column")
    condition, args = where(connection.family, columns, wanted, row)
    counted = await connection.execute(count_rows(table, condition), args)
    found = int(str(counted.rows[0][0]))
    if found == 0:
        raise Conflict(f"{place}: the row is gone, or is not as it was any more", code=CHANGED)
    if found != 1:
        raise Conflict(f"{place}: where means {found} rows, and not one", code=CHANGED)
    return condition, args
